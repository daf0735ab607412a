"""Where something stands on a picture: the one answer that layout, features and sentences go by."""

from __future__ import annotations

from collections.abc import Sequence

from inference.common.places import PAGE, Place, Region
from inference.reading.geometry import Box

_EDGE = 0.25  # of the only frame's height: what is nearer to its upper or lower edge stands there


def where(box: Box, frames: Sequence[Box]) -> Place:
    """The place of a box among the ``frames``, which stand in reading order; all as fractions (0..1) of the
    picture.
    """
    if not frames:
        return PAGE
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    top, bottom = min(frame[1] for frame in frames), max(frame[3] for frame in frames)
    if y < top:
        return Place(Region.ABOVE, turn=-1)
    if y > bottom:
        return Place(Region.BELOW, turn=len(frames))
    inside = next(
        (n for n, own in enumerate(frames) if own[0] <= x <= own[2] and own[1] <= y <= own[3]), None
    )
    if len(frames) == 1:
        share = (y - top) / (bottom - top)
        region = Region.TOP if share < _EDGE else Region.BOTTOM if share > 1 - _EDGE else Region.MIDDLE
        return Place(region, inside)
    if inside is not None:
        return Place(Region.FRAME, inside, inside)
    begun = max((n for n, own in enumerate(frames) if own[1] <= y), default=-1)
    return Place(Region.BETWEEN, turn=begun)
