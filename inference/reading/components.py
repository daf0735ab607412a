"""What hangs together in a mask: connected components as runs of pixels, the growing of masks, convex hulls.

SciPy has all of it. Importing it takes longer than to load the reader's networks, and the memory of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Components", "components", "convex_hull", "grown"]

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two are the first pixels outside


@dataclass(frozen=True, slots=True)
class Components:
    """Runs of pixels side by side, row by row from the left: each (runs,). ``labels`` are 0..count-1, by the
    order in which the components begin.
    """

    count: int
    labels: Ints
    rows: Ints
    starts: Ints
    ends: Ints  # the first pixel behind the run

    def boxes(self) -> Iterator[Box]:
        """Around each component, in the order of their labels."""
        order = np.argsort(self.labels, kind="stable")
        firsts = np.searchsorted(self.labels[order], np.arange(self.count))
        if self.count:
            lefts, tops = (np.minimum.reduceat(edge[order], firsts) for edge in (self.starts, self.rows))
            rights, bottoms = (
                np.maximum.reduceat(edge[order], firsts) for edge in (self.ends, self.rows + 1)
            )
            yield from zip(lefts.tolist(), tops.tolist(), rights.tolist(), bottoms.tolist(), strict=True)


def components(mask: Mask, *, diagonal: bool = False) -> Components:
    """Those of a mask (rows, columns); ``diagonal``: pixels that touch by a corner hang together too."""
    height, width = mask.shape
    framed = np.zeros((height, width + 2), dtype=np.bool_)
    framed[:, 1:-1] = mask
    changes = np.flatnonzero(framed[:, 1:] != framed[:, :-1])  # a run's start, its end, the next one's start
    rows, starts = np.divmod(changes[::2], width + 1)
    ends = changes[1::2] % (width + 1)
    labels = _joined(len(rows), *_touching(rows, starts, ends, width + 2, reach=int(diagonal)))
    names, labels = np.unique(labels, return_inverse=True)
    return Components(len(names), labels, rows, starts, ends)


def _touching(rows: Ints, starts: Ints, ends: Ints, width: int, *, reach: int) -> tuple[Ints, Ints]:
    """Pairs of runs, one in the row below the other, that share a column, or come as near as ``reach``."""
    # Runs stand in the order of these numbers, so those that one touches stand together.
    above = (rows - 1) * width
    first = np.searchsorted(rows * width + ends, above + starts - reach, side="right")
    last = np.searchsorted(rows * width + starts, above + ends + reach, side="left")
    counts = np.maximum(last - first, 0)
    lower = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts, counts)
    return lower, first[lower] + within


def _joined(count: int, one: Ints, other: Ints) -> Ints:
    """For each of ``count`` the first that hangs together with it, by the pairs of neighbours."""
    first = np.arange(count)
    while True:
        least = np.minimum(first[one], first[other])
        nearer = first.copy()
        # The least goes to what stands for each of both, so that whole chains are joined at once.
        for end in (one, other):
            np.minimum.at(nearer, first[end], least)
            np.minimum.at(nearer, end, least)
        nearer = nearer[nearer]
        if (nearer == first).all():
            return first
        first = nearer


def grown(mask: Mask, steps: int) -> Mask:
    """The mask and what lies within so many steps of it, upwards, downwards or sideways."""
    for _ in range(steps):
        larger = mask.copy()
        larger[1:] |= mask[:-1]
        larger[:-1] |= mask[1:]
        larger[:, 1:] |= mask[:, :-1]
        larger[:, :-1] |= mask[:, 1:]
        mask = larger
    return mask


def convex_hull(points: Floats) -> Floats:
    """The corners of the smallest convex polygon around (n, 2) points, n at least 1, one way round (Andrew
    1979, doi:10.1016/0020-0190(79)90072-3); its ends, where all lie on one line.
    """
    ordered = np.unique(points, axis=0).tolist()
    if len(ordered) < 3:
        return np.array(ordered)
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return np.array(lower[:-1] + upper[:-1])


def _chain(points: list[list[float]]) -> list[list[float]]:
    """The points of a row that the polygon's border passes, all turns going one way."""
    kept: list[list[float]] = []
    for point in points:
        while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    return kept


def _turn(first: list[float], second: list[float], third: list[float]) -> float:
    return (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (third[0] - first[0])
