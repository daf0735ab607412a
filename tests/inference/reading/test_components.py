"""Components of masks, against a search from pixel to pixel; hulls, by what a hull is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.reading.components import components, convex_hull, grown

Mask = npt.NDArray[np.bool_]
MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))
SIDES = [(-1, 0), (1, 0), (0, -1), (0, 1)]
CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def searched(mask: Mask, ways: list[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """The components as sets of (row, column), by the order in which they begin."""
    left = [(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)]
    found = []
    while left:
        own, reached = set(), [left[0]]
        while reached:
            row, column = reached.pop()
            if (row, column) in left:
                left.remove((row, column))
                own.add((row, column))
                reached += [(row + down, column + across) for down, across in ways]
        found.append(own)
    return found


@pytest.mark.parametrize(("diagonal", "ways"), [(False, SIDES), (True, SIDES + CORNERS)])
@given(mask=MASKS)
def test_pixels_that_touch_are_one_component(diagonal: bool, ways: list[tuple[int, int]], mask: Mask) -> None:
    found = components(mask, diagonal=diagonal)
    expected = searched(mask, ways)
    pixels: list[set[tuple[int, int]]] = [set() for _ in range(found.count)]
    for label, row, start, end in zip(found.labels, found.rows, found.starts, found.ends, strict=True):
        pixels[label] |= {(int(row), int(column)) for column in range(start, end)}
    assert pixels == expected
    rows_and_columns = [np.array(sorted(own)) for own in expected]
    assert list(found.boxes()) == [
        (*(own.min(axis=0)[::-1]), *(own.max(axis=0)[::-1] + 1)) for own in rows_and_columns
    ]


def test_a_spiral_is_one_component() -> None:
    mask = np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=bool
    )
    assert components(mask).count == 1


@given(mask=MASKS, steps=st.integers(0, 3))
def test_a_mask_grows_by_steps_to_the_sides(mask: Mask, steps: int) -> None:
    rows, columns = np.indices(mask.shape)
    expected = np.zeros_like(mask)
    for row, column in zip(*np.nonzero(mask), strict=True):
        expected |= abs(rows - row) + abs(columns - column) <= steps
    assert (grown(mask, steps) == expected).all()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=30))
def test_a_hull_turns_one_way_around_all_points(points: list[tuple[int, int]]) -> None:
    hull = convex_hull(np.array(points, dtype=np.float64))
    assert {tuple(corner) for corner in hull.tolist()} <= set(points)
    behind = np.roll(hull, -1, axis=0)
    for (x, y), (next_x, next_y) in zip(hull, behind, strict=True):
        assert all((next_x - x) * (b - y) - (next_y - y) * (a - x) >= 0 for a, b in points)
    if len(hull) < 3:
        assert {min(points), max(points)} == {tuple(corner) for corner in hull.tolist()}


def test_the_reader_is_imported_without_scipy() -> None:
    """Half a second, and 45 MB."""
    code = "import sys, inference.reading.reader; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
