"""What becomes of the work on one picture when it is no caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.texts import sentences
from inference.common.types import PictureErrorCode

FailureKind = (
    PictureErrorCode
    | Literal[
        "timeout",
        "crashed",
        "busy",
        "cannot_fetch",
        "compared_model_gone",
        "model_broken",
        "out_of_order",
        # Of a question alone:
        "question_busy",
        "no_answer",
        "caption_gone",
    ]
)

_SAID: dict[FailureKind, str] = {
    "empty": sentences.EMPTY,
    "not_a_picture": sentences.NOT_A_PICTURE,
    "truncated": sentences.TRUNCATED,
    "too_many_pixels": sentences.TOO_MANY_PIXELS,
    "too_large": sentences.TOO_LARGE,
    "too_costly": sentences.TOO_COSTLY,
    "unsupported": sentences.UNSUPPORTED,
    "timeout": sentences.TIMEOUT,
    "crashed": sentences.CRASHED,
    "busy": sentences.BUSY,
    "cannot_fetch": sentences.CANNOT_FETCH,
    "compared_model_gone": sentences.COMPARED_MODEL_GONE,
    "model_broken": sentences.MODEL_BROKEN,
    "out_of_order": sentences.OUT_OF_ORDER,
    "question_busy": sentences.QUESTION_BUSY,
    "no_answer": sentences.NO_ANSWER,
    "caption_gone": sentences.CAPTION_GONE,
}


class Unanswerable(Exception):  # noqa: N818 - an outcome
    """No caption for this picture. ``reason`` is for the operator."""

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: FailureKind = kind
        self.reason = reason

    @property
    def sentence(self) -> str:
        """What the person is told (of `bot.texts.sentences`)."""
        return _SAID[self.kind]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a reply is no caption."""

    kind: FailureKind
    reason: str  # for the operator


@dataclass(frozen=True, slots=True)
class Wait:
    """The file cannot be had for so many ``seconds``."""

    seconds: float
    long: bool  # it takes so long by now that the person should know
