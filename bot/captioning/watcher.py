"""Who is told how the work on pictures goes."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Its methods return at once, and raise nothing."""

    def picture_began(self, waited: float) -> None:
        """It is a picture's turn, after so many seconds."""

    def picture_ended(self, model: str, outcome: str, seconds: float) -> None:
        """Nothing more is done for a picture that ``model`` was to describe, after so many seconds.

        ``outcome``: "answered", a FailureKind, "undeliverable", "dropped" (erased, or another bot's by now)
        or "left" (for the next start).
        """

    def answer_lost(self) -> None:
        """Nobody knows whether a reply arrived."""
