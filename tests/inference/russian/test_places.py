"""Places in words."""

from __future__ import annotations

import pytest

from inference.common.places import PAGE, Place, Region
from inference.russian.places import on_frame, standing, standing_together


def test_frames_are_counted_from_the_first() -> None:
    assert [on_frame(number) for number in (0, 2, 8, 9)] == (
        ["на первом кадре", "на третьем кадре", "на девятом кадре", "на 10-м кадре"]
    )


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(Region.ABOVE), "сверху"),
        (Place(Region.TOP, 0), "сверху"),
        (Place(Region.MIDDLE, 0), "посередине"),
        (Place(Region.BOTTOM), "снизу"),
        (Place(Region.BELOW), "снизу"),
        (Place(Region.BETWEEN), "между кадрами"),
        (Place(Region.FRAME, 1, 1), "на втором кадре"),
        (PAGE, ""),
    ],
)
def test_every_place_has_its_words(place: Place, words: str) -> None:
    assert standing(place) == words


def test_places_together_are_told_from_above_and_frames_as_one() -> None:
    below, above, top, between = map(Place, (Region.BELOW, Region.ABOVE, Region.TOP, Region.BETWEEN))
    frames = [Place(Region.FRAME, number, number) for number in (0, 1)]
    assert standing_together([below, top, above]) == "сверху и снизу"
    assert standing_together([*frames, between, below, above]) == "сверху, на кадрах и снизу"
    assert standing_together([PAGE]) == ""
