"""Boxes: (left, top, right, bottom), whatever their unit."""

from __future__ import annotations

from collections.abc import Iterable

Box = tuple[float, float, float, float]


def shared_area(one: Box, other: Box) -> float:
    """What two boxes have in common, in the square of their unit."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def shared_span(low: float, high: float, other_low: float, other_high: float) -> float:
    """The overlap of two intervals as a share (0..1) of the shorter."""
    shorter = max(min(high - low, other_high - other_low), 1e-9)
    return max(0.0, min(high, other_high) - max(low, other_low)) / shorter


def distance(one: Box, other: Box) -> float:
    """How far two boxes are apart, along the axis where they are further apart; 0 where they touch."""
    across = max(one[0] - other[2], other[0] - one[2], 0.0)
    return max(across, one[1] - other[3], other[1] - one[3], 0.0)


def hull(boxes: Iterable[Box]) -> Box:
    """The smallest box around some boxes (at least one)."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def turned(box: Box, size: tuple[float, float]) -> Box:
    """Where a box stands on the picture of ``size`` (width, height) turned by 180 degrees."""
    width, height = size
    return (width - box[2], height - box[3], width - box[0], height - box[1])
