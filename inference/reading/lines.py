"""What is made of the words: lines, the blocks that they stand in, the posts that they make up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from inference.common.places import PAGE, Place
from inference.reading.geometry import Box, hull
from inference.reading.places import where


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line before it is put in order: ``box`` and ``height`` (of its letters) in pixels of the picture,
    ``confidence`` the probability (0..1) that a person would quote it, ``slope`` how far it sinks, in pixels
    for each to the right (None: too short to tell), ``author`` the account whose post begins with it, ``row``
    whether it is a row of a table, cells and all, ``inverted`` whether it stands upside down.
    """

    text: str
    box: Box
    height: float
    confidence: float
    slope: float | None = None
    author: str = ""
    row: bool = False
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line in its order: one of a :class:`~inference.reading.reading.Reading`."""

    text: str
    box: Box  # fractions (0..1) of the upright picture
    confidence: float  # 0..1
    block: int  # the block (paragraph, balloon, caption bar) it belongs to, in reading order from 0
    author: str = ""  # the account whose post begins with this line, without the "@"
    place: Place = PAGE  # among the picture's frames

    @property
    def quote(self) -> str:
        """The text as it is quoted; empty where it has nothing to quote."""
        return clean_quote(self.text)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are read together (at least one). ``box``: fractions (0..1) of the upright picture."""

    lines: tuple[TextLine, ...]
    box: Box
    place: Place  # of the block as a whole, among the picture's frames

    @property
    def text(self) -> str:
        """Its lines as they are quoted, as one; empty where they have nothing to quote."""
        return " ".join(filter(None, (line.quote for line in self.lines)))

    @property
    def author(self) -> str:
        """The account whose post begins here, without the "@"; empty where none does."""
        return next((line.author for line in self.lines if line.author), "")


@dataclass(frozen=True, slots=True)
class Post:
    """What an account wrote: the lines from where its post begins up to the next one's."""

    author: str  # without the "@"
    lines: tuple[TextLine, ...]


def blocks_of(lines: Sequence[TextLine], frames: Sequence[Box]) -> tuple[Block, ...]:
    """The blocks of lines that stand in reading order, in that order."""
    blocks = []
    for _, run in groupby(lines, key=lambda line: line.block):
        own = tuple(run)
        box = hull(line.box for line in own)
        blocks.append(Block(own, box, where(box, frames)))
    return tuple(blocks)


def posts_of(lines: Sequence[TextLine]) -> tuple[Post, ...]:
    """The posts among lines that stand in reading order; what stands before the first belongs to none."""
    starts = [number for number, line in enumerate(lines) if line.author]
    spans = pairwise([*starts, len(lines)])
    return tuple(Post(lines[start].author, tuple(lines[start:end])) for start, end in spans)


def clean_quote(line: str) -> str:
    """A line read, fit to stand between quotation marks: marks of its own become single, specks at its
    ends go.
    """
    line = re.sub(r'["“”„«»]', "'", line)
    line = re.sub(r"(?<!\.)\.\.(?!\.)", "...", line)  # two dots are three of which one was not seen
    line = re.sub(r"^[\s'‘’`|_\\/~=<>*^°\]}]+|[\s'‘’`|_\\/~=<>^°\[{]+$", "", line)
    return re.sub(r"\s+", " ", line)
