"""Where something can stand on a picture: what a reading finds and sentences say."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Region(Enum):
    """The part of a picture, told by its frames."""

    ABOVE = "above"  # all frames
    BELOW = "below"  # all frames
    FRAME = "frame"  # one of several
    BETWEEN = "between"  # several
    TOP = "top"  # of the only frame, or beside that
    MIDDLE = "middle"
    BOTTOM = "bottom"
    PAGE = "page"  # of text: there are no frames


@dataclass(frozen=True, slots=True)
class Place:
    """Where the middle of something stands.

    ``frame``: the number of the frame that it is in, in reading order from 0; None where it is in none. Two
    places at one height of the only frame are the same, in it or beside it.
    ``turn``: when it is read: with the frame of that number, or right after it; -1 before all frames, their
    number after all.
    """

    region: Region
    frame: int | None = field(default=None, compare=False)
    turn: int = 0


PAGE = Place(Region.PAGE)
