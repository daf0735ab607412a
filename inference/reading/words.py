"""What the recogniser hands to those who make lines of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was recognised.

    ``box`` is (left, top, right, bottom) as fractions of the picture, 0..1; ``confidence`` is 0..1;
    ``line`` numbers the text line that it stands in.
    """

    text: str
    box: tuple[float, float, float, float]
    confidence: float
    line: int
