"""What becomes of the work on one picture when it is no caption."""

from __future__ import annotations

from dataclasses import dataclass


class Unanswerable(Exception):  # noqa: N818 - an outcome: the person is told `sentence`
    """No caption for this picture. ``reason`` is for the operator."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(reason)
        self.sentence = sentence
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Wait:
    """The file cannot be had for so many ``seconds``."""

    seconds: float
    long: bool  # it takes so long by now that the person should know
