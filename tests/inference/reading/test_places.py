"""Where something stands among a picture's frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.common.places import PAGE, Place, Region
from inference.reading.geometry import Box
from inference.reading.places import where

PHOTO = [(0.0, 0.2, 1.0, 0.8)]
DRAWING = [(0.4, 0.2, 1.0, 0.8)]
STACK = [(0.0, 0.0, 1.0, 0.4), (0.0, 0.6, 1.0, 1.0)]
STRIP = [(0.0, 0.1, 0.5, 0.9), (0.5, 0.1, 1.0, 0.9)]


@pytest.mark.parametrize(
    ("box", "frames", "place"),
    [
        ((0.1, 0.0, 0.9, 0.1), PHOTO, Place(Region.ABOVE, None, -1)),
        ((0.1, 0.85, 0.9, 0.95), PHOTO, Place(Region.BELOW, None, 1)),
        ((0.1, 0.25, 0.9, 0.35), PHOTO, Place(Region.TOP, 0)),
        ((0.1, 0.4, 0.9, 0.5), PHOTO, Place(Region.MIDDLE, 0)),
        ((0.1, 0.7, 0.9, 0.78), PHOTO, Place(Region.BOTTOM, 0)),
        ((0.0, 0.7, 0.2, 0.78), DRAWING, Place(Region.BOTTOM, None)),
        ((0.1, 0.4, 0.9, 0.5), [], PAGE),
        ((0.1, 0.4, 0.4, 0.5), STRIP, Place(Region.FRAME, 0, 0)),
        ((0.6, 0.4, 0.9, 0.5), STRIP, Place(Region.FRAME, 1, 1)),
        ((0.1, 0.92, 0.9, 0.98), STRIP, Place(Region.BELOW, None, 2)),
        ((0.1, 0.36, 0.9, 0.42), STACK, Place(Region.FRAME, 0, 0)),
        ((0.1, 0.44, 0.9, 0.56), STACK, Place(Region.BETWEEN, None, 0)),
    ],
)
def test_a_place_is_told_by_the_middle(box: Box, frames: list[Box], place: Place) -> None:
    found = where(box, frames)
    assert (found, found.frame) == (place, place.frame)


@given(
    middle=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    frames=st.sampled_from([PHOTO, DRAWING, STACK, STRIP]),
)
def test_a_frame_is_named_only_where_the_middle_is_within_it(
    middle: tuple[float, float], frames: list[Box]
) -> None:
    x, y = middle
    place = where((x, y, x, y), frames)
    inside = [n for n, own in enumerate(frames) if own[0] <= x <= own[2] and own[1] <= y <= own[3]]
    assert place.frame == (inside[0] if inside else None)
    assert -1 <= place.turn <= len(frames)
