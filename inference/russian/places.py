"""Places in words: сверху, на втором кадре."""

from __future__ import annotations

from collections.abc import Iterable

from inference.common.places import Place, Region
from inference.russian.counting import ordinal
from inference.russian.lists import LISTS
from inference.russian.sentences import joined

_DOWN = (
    Region.ABOVE, Region.TOP, Region.MIDDLE, Region.FRAME, Region.BETWEEN, Region.BOTTOM, Region.BELOW
)  # fmt: skip


def on_frame(number: int) -> str:
    """ "на втором кадре" of frame 1; they count from 0."""
    return LISTS.places.frame.format(ordinal(number + 1, "loct"))


def standing(place: Place) -> str:
    """Where words stand: сверху, посередине, на втором кадре; "" on a page of text."""
    if place.region is Region.FRAME and place.frame is not None:
        return on_frame(place.frame)
    return LISTS.places.words.get(place.region, "")


def standing_together(places: Iterable[Place]) -> str:
    """Where words stand, all frames as one: сверху, на кадрах и снизу; "" on a page of text."""
    found = {place.region for place in places}
    words = {**LISTS.places.words, Region.FRAME: LISTS.places.frames, Region.BETWEEN: LISTS.places.frames}
    return joined(dict.fromkeys(words[region] for region in _DOWN if region in found))
