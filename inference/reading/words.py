"""What the recogniser hands to those who make lines of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was recognised.

    ``box`` is (left, top, right, bottom) as fractions of the picture, 0..1; ``confidence`` is 0..1;
    ``line`` numbers the text line that it stands in, ``turn`` (0..3) the quarters by which its line is turned
    clockwise: 0 runs to the right, 1 downwards, 2 stands upside down, 3 runs upwards.
    """

    text: str
    box: tuple[float, float, float, float]
    confidence: float
    line: int
    turn: int = 0
