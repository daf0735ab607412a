"""Frames of a comic or a collage: the picture cut along gutters and hard edges that run from side to side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.reading.merge import Box

_SIDE = 240  # pixels of the picture looked at: gutters of one pixel in a hundred survive
_SAME = 14  # grey levels: a pixel of the gutter's colour
_UNIFORM = 0.97  # share of a row in the gutter's colour
_STEP = 22  # grey levels between two rows at a hard edge
_ACROSS = 0.82  # share of the row that steps
_LEAST = 0.14  # of the picture's side: a smaller part is no frame
_BUSY = 0.42  # share of pixels off the background's colour: below it stands text on a bar, no picture

Grey = npt.NDArray[np.int16]


def frames(image: Image.Image) -> list[Box]:
    """Boxes (left, top, right, bottom, fractions 0..1) of the pictures within one, in reading order.

    Bars of text are left out. A photo on its own is one frame; a page of text has none.
    """
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.int16)
    return [
        (left / _SIDE, top / _SIDE, right / _SIDE, bottom / _SIDE)
        for left, top, right, bottom in _split(grey, (0, 0, _SIDE, _SIDE), vertical=True, tried=0)
    ]


def _split(
    grey: Grey, box: tuple[int, int, int, int], *, vertical: bool, tried: int
) -> list[tuple[int, int, int, int]]:
    left, top, right, bottom = box
    part = grey[top:bottom, left:right]
    if min(part.shape) < _LEAST * _SIDE or not _is_picture(part):
        return []
    spans = _spans(part if vertical else part.T)
    if len(spans) <= 1 and tried:
        return [box]
    found = []
    for start, end in spans:
        inner = (left, top + start, right, top + end) if vertical else (left + start, top, left + end, bottom)
        found += _split(grey, inner, vertical=not vertical, tried=1 if len(spans) <= 1 else 0)
    return found


def _spans(part: Grey) -> list[tuple[int, int]]:
    """(start, end) of the runs of rows between gutters and hard edges."""
    rows = len(part)
    median = np.median(part, axis=1, keepdims=True)
    uniform = (np.abs(part - median) <= _SAME).mean(axis=1) >= _UNIFORM
    steps = (np.abs(np.diff(part, axis=0)) > _STEP).mean(axis=1) >= _ACROSS
    cuts = [0]
    spans: list[tuple[int, int]] = []
    for row in range(rows):
        if uniform[row] or (row and steps[row - 1] and not uniform[row - 1]):
            if row - cuts[-1] > 0:
                spans.append((cuts[-1], row))
            cuts.append(row + 1 if uniform[row] else row)
    if rows - cuts[-1] > 0:
        spans.append((cuts[-1], rows))
    return [(start, end) for start, end in spans if end - start >= _LEAST * _SIDE]


def _is_picture(part: Grey) -> bool:
    values, counts = np.unique(part // 8, return_counts=True)
    background = int(values[counts.argmax()]) * 8 + 4
    return float((np.abs(part - background) > _SAME).mean()) >= _BUSY
