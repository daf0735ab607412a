"""The colours that pictures are told to have."""

from __future__ import annotations

from enum import Enum


class Colour(Enum):
    """The basic colours of Russian, and beige, which is what skin and sand are called."""

    BLACK = "black"
    GREY = "grey"
    WHITE = "white"
    RED = "red"
    ORANGE = "orange"
    BROWN = "brown"
    BEIGE = "beige"
    YELLOW = "yellow"
    GREEN = "green"
    LIGHT_BLUE = "light_blue"
    BLUE = "blue"
    VIOLET = "violet"
    PINK = "pink"
