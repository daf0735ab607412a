"""Frames of a comic or a collage: the picture cut along gutters, ruled lines and hard edges that run from
side to side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.reading.components import components, grown
from inference.reading.geometry import Box
from inference.reading.lines import TextLine

_SIDE = 240  # pixels of the picture looked at
_FINE = 4  # times as many across a gutter: gutters of one pixel in a thousand survive
_SAME = 14  # grey levels: a pixel of the gutter's colour
_UNIFORM = 0.97  # share of a row in the gutter's colour
_RULED = 0.9  # the same of a line that is ruled over a drawing
_APART = 40  # grey levels between such a line and what it parts
_THIN, _THICK = 0.5, 0.25  # share of the row beside a gutter that differs from it
_STEP = 22  # grey levels between two rows at a hard edge
_ACROSS = 0.82  # share of the row that steps
_REGULAR = 0.6  # the same where the picture is parted evenly
_EVENLY = 0.012  # of the part's side: how far off an even part may be
_LEAST = 0.14  # of the picture's side: a smaller part is no frame
_BUSY = 0.42  # share of pixels off the background's colour: below it stands text on a bar, or a drawing
_WRITTEN = 0.85  # share of a part covered by letters: there is no picture behind more of them
_DRAWN, _DRAWN_ON = 0.03, 0.07  # of the picture's and the part's area: a smaller drawing is an icon
_NARROW = 0.1  # of the picture's side: the same
_BALLOON = 0.35  # share of letters within a shape that is there for them

Grey = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]
Span = tuple[int, int]
Part = tuple[int, int, int, int]  # left, top, right, bottom, in pixels of the small picture


def find_frames(image: Image.Image, lines: Sequence[TextLine] = ()) -> tuple[Box, ...]:
    """Boxes (fractions 0..1) of the pictures within an upright one, in reading order.

    ``lines``: those read on the picture. Bars of text are left out. A photo on its own is one frame, and so
    is a drawing on a plain ground; a page of text has none.
    """
    picture = _Picture.of(image.convert("L"), lines)
    parts = _split(picture, (0, 0, _SIDE, _SIDE), vertical=True, tried=0)
    if len(parts) == 1:
        parts = [_without_captions(picture, parts[0])]
    return tuple(
        (left / _SIDE, top / _SIDE, right / _SIDE, bottom / _SIDE) for left, top, right, bottom in parts
    )


@dataclass(frozen=True, slots=True)
class _Picture:
    grey: Grey  # (side, side)
    rows: Grey  # (side * fine, side): fine across horizontal gutters
    columns: Grey  # (side * fine, side): the same of the picture lying on its side
    text: Mask  # (side, side)

    @staticmethod
    def of(image: Image.Image, lines: Sequence[TextLine]) -> _Picture:
        """A grey picture, made small."""
        rows = np.asarray(image.resize((_SIDE, _SIDE * _FINE), Image.Resampling.BOX), dtype=np.int16)
        columns = np.asarray(image.resize((_SIDE * _FINE, _SIDE), Image.Resampling.BOX), dtype=np.int16)
        text = np.zeros((_SIDE, _SIDE), dtype=np.bool_)
        for line in lines:
            left, top, right, bottom = (round(edge * _SIDE) for edge in line.box)
            grown = 1 + (bottom - top) // 4  # outlines, tails and marks above the letters
            text[max(0, top - grown) : bottom + grown, max(0, left - grown) : right + grown] = True
        grey = rows.reshape(_SIDE, _FINE, _SIDE).mean(axis=1).astype(np.int16)
        return _Picture(grey, rows, columns.T, text)


def _split(picture: _Picture, part: Part, *, vertical: bool, tried: int) -> list[Part]:
    left, top, right, bottom = part
    if min(right - left, bottom - top) < _LEAST * _SIDE:
        return []
    grey, text = picture.grey[top:bottom, left:right], picture.text[top:bottom, left:right]
    background, off = _ground(grey)
    drawn = _is_drawn(off, text)
    if drawn and not _drawings(off, text):
        return []
    plain = background if drawn else None
    if vertical:
        spans = _spans(grey, picture.rows[_FINE * top : _FINE * bottom, left:right], text, plain)
    else:
        fine = picture.columns[_FINE * left : _FINE * right, top:bottom]
        spans = _spans(grey.T, fine, text.T, plain)
    if len(spans) <= 1 and tried:
        return [part]
    found = []
    for start, end in spans:
        inner = (left, top + start, right, top + end) if vertical else (left + start, top, left + end, bottom)
        found += _split(picture, inner, vertical=not vertical, tried=1 if len(spans) <= 1 else 0)
    return found


def _is_drawn(off: Mask, text: Mask) -> bool:
    """Whether a part is mostly plain ground, to be looked at for drawings."""
    return bool(text.mean() > _WRITTEN or off[~text].mean() < _BUSY)


def _without_captions(picture: _Picture, part: Part) -> Part:
    """The only part of a picture; of a drawing on a plain ground what is drawn: words stand above it."""
    left, top, right, bottom = part
    text = picture.text[top:bottom, left:right]
    _, off = _ground(picture.grey[top:bottom, left:right])
    drawings = _drawings(off, text) if _is_drawn(off, text) else []
    if not drawings:
        return part
    lefts, tops, rights, bottoms = zip(*drawings, strict=True)
    return left + min(lefts), top + min(tops), left + max(rights), top + max(bottoms)


def _spans(part: Grey, fine: Grey, text: Mask, background: int | None) -> list[Span]:
    """(start, end) of the runs of rows between gutters and hard edges.

    ``fine``: the same part with more rows; ``text``: where letters stand; ``background``: of a drawing, whose
    gutters must differ from it.
    """
    rows = len(part)
    cut: Mask = np.asarray(_gutters(fine, background).reshape(rows, _FINE).max(axis=1))
    edges = np.zeros(rows, dtype=np.bool_) if background is not None else _edges(part, fine, text)
    cuts = [0]
    spans: list[Span] = []
    for row in range(rows):
        if cut[row] or (edges[row] and not cut[row - 1]):
            if row - cuts[-1] > 0:
                spans.append((cuts[-1], row))
            cuts.append(row + 1 if cut[row] else row)
    if rows - cuts[-1] > 0:
        spans.append((cuts[-1], rows))
    return [(start, end) for start, end in spans if end - start >= _LEAST * _SIDE]


def _gutters(fine: Grey, background: int | None) -> Mask:
    """For each row whether it lies in a gutter or a ruled line."""
    median = np.median(fine, axis=1).astype(np.int16)
    share = (np.abs(fine - median[:, None]) <= _SAME).mean(axis=1)
    if background is not None:
        return np.asarray((share >= _RULED) & (np.abs(median - background) > _APART))
    uniform: Mask = np.asarray(share >= _UNIFORM)
    # Rows of a sky or a shadow are even too: pictures end sharply at a gutter, on both sides of a thin one.
    for start, _, stop, _ in components(uniform[None]).boxes():
        ends = [
            (np.abs(fine[row] - median[end]) > _STEP).mean()
            for end, row in ((start, start - 3), (stop - 1, stop + 2))
            if 0 <= row < len(fine)
        ]
        if min(ends, default=1.0) < (_THIN if stop - start < _FINE else _THICK):
            uniform[start:stop] = False
    return uniform


def _edges(part: Grey, fine: Grey, text: Mask) -> Mask:
    """For each row whether a hard edge runs above it."""
    rows = len(part)
    edges = np.zeros(rows, dtype=np.bool_)
    edges[1:] = (np.abs(np.diff(part, axis=0)) > _STEP).mean(axis=1) >= _ACROSS
    # Where pictures of one size stand together, half as clear an edge will do: sharp, and not of letters.
    sharp = np.zeros(rows)
    letters: Mask = np.asarray(text.max(axis=1))
    for first in (1, 2):  # of three fine rows that the seam above a row may lie in
        above, below = fine[first::_FINE][: rows - 1], fine[first + 3 :: _FINE]
        sharp[1:] = np.maximum(sharp[1:], (np.abs(below - above) > _STEP).mean(axis=1))
    sharp[1:][letters[:-1] | letters[1:]] = 0
    usual = np.quantile(sharp, 0.9)
    for count in (2, 3, 4):
        seams = []
        for number in range(1, count):
            middle, reach = rows * number / count, max(1.0, _EVENLY * rows)
            first = max(1, int(middle - reach))
            seams.append(first + int(sharp[first : int(middle + reach) + 2].argmax()))
        if all(sharp[seam] >= max(_REGULAR, 2 * usual) for seam in seams):
            edges[seams] = True
    return edges


def _ground(part: Grey) -> tuple[int, Mask]:
    """The background's grey level, and which pixels are off it."""
    background = int(np.bincount(part.ravel() // 8).argmax()) * 8 + 4
    return background, np.abs(part - background) > _SAME


def _drawings(off: Mask, text: Mask) -> list[Part]:
    """The boxes of what is drawn on a plain ground in a picture's size; letters and balloons are not."""
    least = max(_DRAWN_ON * off.size, _DRAWN * _SIDE**2)
    found = []
    for left, top, right, bottom in components(grown(off & ~text, 2)).boxes():
        height, width = bottom - top, right - left
        large = min(height, width) > _NARROW * _SIDE and height * width > least
        if large and text[top:bottom, left:right].mean() < _BALLOON:
            found.append((left, top, right, bottom))
    return found
