"""The lines that the words on a picture make, before anybody says which of them are print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from inference.reading.geometry import Box, hull
from inference.reading.words import Word
from inference.russian.lexicon import bare, is_known

_WIDE_GAP = 2.2  # in letter heights: words further apart than this belong to two columns
ROUND = frozenset("оОoO0")  # what the recogniser takes round things for
_ARCS = frozenset("сСcC")  # and what it takes a part of one for


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line as it was recognised; the boxes, its own and its words', in pixels of the picture."""

    words: tuple[Word, ...]
    box: Box

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def height(self) -> float:
        """The median height of its words, in pixels: robust against one tall speck."""
        heights = sorted(word.box[3] - word.box[1] for word in self.words)
        return heights[len(heights) // 2]

    @property
    def slope(self) -> float | None:
        """How far the line sinks, in pixels for each to the right; None where it is too short to tell."""
        first, last = self.words[0].box, self.words[-1].box
        run = (last[0] + last[2] - first[0] - first[2]) / 2
        return (last[1] + last[3] - first[1] - first[3]) / 2 / run if run > 3 * self.height else None


def candidates(words: Sequence[Word], size: tuple[int, int]) -> list[Candidate]:
    """The lines that the words make, split at wide gaps, specks at their ends cut off. ``size`` is (width,
    height) in pixels.
    """
    return trimmed(pieces(words, size))


def pieces(words: Sequence[Word], size: tuple[int, int]) -> list[list[Word]]:
    """The lines that the words make, split at wide gaps, specks and all; the boxes in pixels."""
    width, height = size
    by_line: dict[int, list[Word]] = {}
    for word in words:
        left, top, right, bottom = word.box
        in_pixels = (left * width, top * height, right * width, bottom * height)
        by_line.setdefault(word.line, []).append(replace(word, box=in_pixels))
    return [part for line in by_line.values() for part in _split_at_gaps(line)]


def trimmed(parts: Sequence[Sequence[Word]]) -> list[Candidate]:
    """The lines of :func:`pieces`, specks at their ends cut off; what is nothing but specks goes."""
    return [candidate(kept) for part in parts if (kept := _trim(part))]


def candidate(words: Sequence[Word]) -> Candidate:
    """The line that words with boxes in pixels make."""
    return Candidate(tuple(words), hull(word.box for word in words))


def _split_at_gaps(line: Sequence[Word]) -> list[list[Word]]:
    ordered = sorted(line, key=_along)
    parts: list[list[Word]] = [[ordered[0]]]
    for before, word in pairwise(ordered):
        sides = (1, 3) if word.turn % 2 == 0 else (0, 2)  # of the boxes, across the line
        height = max(own.box[sides[1]] - own.box[sides[0]] for own in (before, word))
        if _along(word)[0] - _along(before)[1] > _WIDE_GAP * height:
            parts.append([word])
        else:
            parts[-1].append(word)
    return parts


def _along(word: Word) -> tuple[float, float]:
    """Where a word begins and ends in the direction in which its line is read."""
    left, top, right, bottom = word.box
    return ((left, right), (top, bottom), (-right, -left), (-bottom, -top))[word.turn]


def _trim(line: Sequence[Word]) -> Sequence[Word]:
    """Without specks at the ends: marks that are no letters, unless the recogniser is sure of them."""
    start, end = 0, len(line)
    alone = len(line) == 1
    while start < end and _is_speck(line[start], alone=alone):
        start += 1
    while end > start and _is_speck(line[end - 1], alone=alone):
        end -= 1
    return line[start:end]


def _is_speck(word: Word, *, alone: bool) -> bool:
    core = bare(word.text)
    if len(core) > 1:
        return word.confidence < 0.4
    if alone and word.text in ROUND | _ARCS:
        return word.confidence < 0.8
    # Beside other words a letter that is a word of its own is one.
    return word.confidence < (0.45 if is_known(core) and not alone else 0.6)
