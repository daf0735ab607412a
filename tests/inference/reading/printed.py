"""Words with places given by hand, and what is made of them."""

from __future__ import annotations

from dataclasses import replace

from inference.reading.lines import ReadLine
from inference.reading.listing import select
from inference.reading.scorer import scored
from inference.reading.words import Word

SIZE = (1000, 500)


def line(text: str, *, left: float, top: float, number: int = 0, confidence: float = 0.95) -> list[Word]:
    """Words in a row, letters .02 wide and .08 high (20 by 40 pixels)."""
    words = []
    for token in text.split():
        right = left + 0.02 * len(token)
        words.append(Word(token, (left, top, right, top + 0.08), confidence, number))
        left = right + 0.02
    return words


def message(words: list[Word], *, threshold: float | None = None) -> list[ReadLine]:
    """The lines that may be quoted; ``threshold``: how likely they must be to be, instead of the scorer's."""
    found = scored(words, SIZE)
    if threshold is not None:
        found = replace(found, quoted=[n for n, score in enumerate(found.scores) if score >= threshold])
    return list(select(found).message)
