"""From the detector's map to upright pictures of single lines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.reading.components import Components, components, convex_hull

LINE_HEIGHT = 48  # pixels of a line that the recogniser looks at
Floats = npt.NDArray[np.float64]

_CORE = 0.3  # probability from which a pixel belongs to a line's core
_SURE = 0.5  # mean probability of a core that is a line
_GROW = 1.6  # how far a line reaches beyond its core, in core areas by perimeters (DBNet's unclip ratio)
_LEAST_PIXELS = 8  # of a core on the map
_LEAST_SIDE = 5.0  # pixels of the picture: nothing legible is smaller
_UPRIGHT = 0.95  # a tilted rectangle must be this much smaller than the upright one
_WIDEST = 1600  # pixels of a line's picture: a longer line is squeezed
_TALL = 1.5  # height in widths from which a region is a line that runs upwards or downwards


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle with one line of text, in pixels of the picture.

    ``angle`` is that of its long side, in radians, clockwise: the text runs along it from left to right.
    """

    x: float  # of the centre
    y: float
    width: float
    height: float
    angle: float

    @property
    def tall(self) -> bool:
        return self.height > _TALL * self.width

    def turned(self, quarters: int) -> Region:
        """The same rectangle, read ``quarters`` of a turn further on (clockwise)."""
        width, height = (self.width, self.height) if quarters % 2 == 0 else (self.height, self.width)
        return Region(self.x, self.y, width, height, self.angle + quarters * math.pi / 2)

    def span(self, start: float, end: float) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in pixels of the upright box around a part of the line; ``start`` and
        ``end`` are 0..1 along it.
        """
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        corners = [
            (
                self.x + cosine * along * self.width - sine * across * self.height,
                self.y + sine * along * self.width + cosine * across * self.height,
            )
            for along in (start - 0.5, end - 0.5)
            for across in (-0.5, 0.5)
        ]
        return (
            min(corner[0] for corner in corners),
            min(corner[1] for corner in corners),
            max(corner[0] for corner in corners),
            max(corner[1] for corner in corners),
        )


def find_regions(probabilities: npt.NDArray[np.float32], size: tuple[int, int]) -> list[Region]:
    """The lines on a map (height, width) of the detector, for a picture of ``size`` (width, height)."""
    height, width = probabilities.shape
    scale = np.array((size[0] / width, size[1] / height))
    mask = probabilities > _CORE
    mask[:-1] |= mask[1:]  # what touches by a corner, or all but touches, is one line
    mask[:, :-1] |= mask[:, 1:]
    cores = components(mask, diagonal=True)
    areas, means = _areas_and_means(cores, probabilities[mask])
    regions = []
    for points in _outlines(cores, np.flatnonzero((areas >= _LEAST_PIXELS) & (means >= _SURE))):
        core = _smallest_rectangle((points + 0.5) * scale)
        grown = core.width * core.height * _GROW / (core.width + core.height)
        region = Region(core.x, core.y, core.width + grown, core.height + grown, core.angle)
        if min(core.width, core.height) >= 3 and min(region.width, region.height) >= _LEAST_SIDE:
            regions.append(region)
    return regions


def _areas_and_means(
    cores: Components, values: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Of each core how many pixels it has, and the mean of ``values``: one for each pixel, row by row."""
    lengths = cores.ends - cores.starts
    owners = np.repeat(cores.labels, lengths)
    areas = np.bincount(owners, minlength=cores.count)
    return areas, np.bincount(owners, weights=values, minlength=cores.count) / areas


def _outlines(cores: Components, wanted: npt.NDArray[np.int64]) -> Iterator[Floats]:
    """For each wanted core the (n, 2) pixels (x, y) in which its runs begin and end."""
    for label in wanted:
        own = cores.labels == label
        rows = cores.rows[own]
        columns = np.concatenate([cores.starts[own], cores.ends[own] - 1])
        yield np.stack([columns, np.concatenate([rows, rows])], axis=1).astype(np.float64)


def _smallest_rectangle(points: Floats) -> Region:
    """Around (n, 2) points; one of its sides lies on a side of their hull (Freeman & Shapira 1975)."""
    points = convex_hull(points)
    edges = np.diff(np.vstack([points, points[:1]]), axis=0)
    angles = (np.arctan2(edges[:, 1], edges[:, 0]) + math.pi / 4) % (math.pi / 2) - math.pi / 4
    angles = np.unique(np.append(np.round(angles, 3), 0.0))
    cosine, sine = np.cos(angles), np.sin(angles)
    along = np.outer(cosine, points[:, 0]) + np.outer(sine, points[:, 1])
    across = np.outer(cosine, points[:, 1]) - np.outer(sine, points[:, 0])
    widths = along.max(axis=1) - along.min(axis=1) + 1
    heights = across.max(axis=1) - across.min(axis=1) + 1
    best = int((widths * heights * np.where(angles == 0, _UPRIGHT, 1.0)).argmin())
    u = (along[best].max() + along[best].min()) / 2
    v = (across[best].max() + across[best].min()) / 2
    return Region(
        float(u * cosine[best] - v * sine[best]),
        float(u * sine[best] + v * cosine[best]),
        float(widths[best]),
        float(heights[best]),
        float(angles[best]),
    )


def cut_out(image: Image.Image, region: Region) -> Image.Image:
    """The line of ``region``, upright, LINE_HEIGHT pixels high."""
    scale = region.height / LINE_HEIGHT
    width = min(max(16, round(region.width / scale)), _WIDEST)
    x, y = region.x, region.y
    factor = int(scale)
    if factor > 1:  # large letters are averaged down, so that nothing between the samples is lost
        left, top, right, bottom = region.span(-0.05, 1.05)
        left, top = max(0, int(left) - 2 * factor), max(0, int(top) - 2 * factor)
        right = min(image.width, int(right) + 2 * factor + 1)
        bottom = min(image.height, int(bottom) + 2 * factor + 1)
        if right - left >= factor and bottom - top >= factor:
            image = image.reduce(factor, (left, top, right, bottom))
            x, y, scale = (x - left) / factor, (y - top) / factor, scale / factor
    step = region.width / region.height * LINE_HEIGHT / width * scale  # squeezed lines step further
    cosine, sine = math.cos(region.angle), math.sin(region.angle)
    transform = (
        cosine * step,
        -sine * scale,
        x - cosine * step * width / 2 + sine * scale * LINE_HEIGHT / 2,
        sine * step,
        cosine * scale,
        y - sine * step * width / 2 - cosine * scale * LINE_HEIGHT / 2,
    )
    return image.transform(
        (width, LINE_HEIGHT), Image.Transform.AFFINE, transform, resample=Image.Resampling.BICUBIC
    )
