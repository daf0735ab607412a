"""Boxes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.reading.geometry import Box, distance, hull, shared_area, shared_span, turned

whole = st.integers(0, 20)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, top = draw(whole), draw(whole)
    return (left, top, left + draw(st.integers(1, 9)), top + draw(st.integers(1, 9)))


def cells(box: Box) -> set[tuple[int, int]]:
    left, top, right, bottom = map(int, box)
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


@given(one=boxes(), other=boxes())
def test_what_two_boxes_share_is_counted_cell_by_cell(one: Box, other: Box) -> None:
    assert shared_area(one, other) == len(cells(one) & cells(other))
    assert (distance(one, other) > 0) <= (shared_area(one, other) == 0)
    around = hull((one, other))
    assert cells(one) | cells(other) <= cells(around)
    assert around in {hull((other, one)), hull((around, one))}


@given(one=boxes(), other=boxes())
def test_a_span_is_shared_by_its_part_of_the_shorter(one: Box, other: Box) -> None:
    columns = set(range(int(one[0]), int(one[2]))), set(range(int(other[0]), int(other[2])))
    share = len(columns[0] & columns[1]) / min(map(len, columns))
    assert shared_span(one[0], one[2], other[0], other[2]) == share


@given(box=boxes())
def test_turned_twice_a_box_is_where_it_was(box: Box) -> None:
    assert turned(turned(box, (40, 30)), (40, 30)) == box
    assert turned((1, 2, 5, 9), (40, 30)) == (35, 21, 39, 28)


def test_boxes_apart_are_as_far_as_the_wider_gap() -> None:
    assert distance((0, 0, 10, 10), (14, 12, 20, 20)) == 4
    assert distance((0, 0, 10, 10), (5, 13, 20, 20)) == 3
    assert distance((0, 0, 10, 10), (10, 10, 20, 20)) == 0
