"""Which colours a picture is mostly of, as a person would name them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.common.colours import Colour

_SIDE = 64  # pixels that the longer side is scaled to: a colour that many would name is still there
_LEAST = 0.2  # share (0..1) of a picture from which a colour is one that it is of
_MOST = 2  # colours named
_PALE = 40  # saturation (0..255) below which anything is black, grey or white
_PALE_SHARE = 0.98  # of a picture without colours: what is left is the noise of its compression
_DARK, _LIGHT = 55, 200  # brightness (0..255): black is darker, white is lighter
_DEEP = 170  # brightness below which orange is brown
_SOFT = 130  # saturation below which a light orange is beige, a light red pink, a light blue another word


# Where each hue ends, of 256; red goes on from 250.
_HUES = (
    (10, Colour.RED), (28, Colour.ORANGE), (46, Colour.YELLOW), (112, Colour.GREEN),
    (144, Colour.LIGHT_BLUE), (178, Colour.BLUE), (212, Colour.VIOLET), (242, Colour.PINK), (256, Colour.RED),
)  # fmt: skip
_COLOURS = tuple(Colour)


@dataclass(frozen=True, slots=True)
class Palette:
    """What is told of a picture's colours."""

    colours: tuple[Colour, ...]  # it is mostly of, the most of it first; none where none has enough of it
    colourless: bool  # it has black, grey and white alone


def palette(image: Image.Image) -> Palette:
    """The colours of an RGB picture of any size."""
    scale = _SIDE / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    small = image.resize(size, Image.Resampling.BOX)
    hue, saturation, value = np.moveaxis(np.asarray(small.convert("HSV"), dtype=np.int64), -1, 0)
    named = _named(hue, saturation, value).ravel()
    shares = np.bincount(named, minlength=len(_COLOURS)) / named.size
    order = np.argsort(-shares, kind="stable")[:_MOST]
    pale = (saturation < _PALE) | (value < _DARK)
    return Palette(
        tuple(_COLOURS[place] for place in order if shares[place] >= _LEAST),
        bool(pale.mean() >= _PALE_SHARE),
    )


def _named(
    hue: NDArray[np.int64], saturation: NDArray[np.int64], value: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The number among all colours of each pixel's."""
    ends = np.array([end for end, _ in _HUES])
    by_hue = np.array([_COLOURS.index(colour) for _, colour in _HUES])
    found: NDArray[np.int64] = by_hue[np.searchsorted(ends, hue, side="right")]
    warm = np.isin(found, [_COLOURS.index(Colour.ORANGE), _COLOURS.index(Colour.YELLOW)])
    red, blue = (found == _COLOURS.index(colour) for colour in (Colour.RED, Colour.BLUE))
    soft = (saturation < _SOFT) & (value >= _DEEP)
    found[(warm | red) & (value < _DEEP) & (hue < 40)] = _COLOURS.index(Colour.BROWN)
    found[warm & soft] = _COLOURS.index(Colour.BEIGE)
    found[red & soft] = _COLOURS.index(Colour.PINK)
    found[blue & soft] = _COLOURS.index(Colour.LIGHT_BLUE)
    pale = saturation < _PALE
    found[pale] = _COLOURS.index(Colour.GREY)
    found[pale & (value >= _LIGHT)] = _COLOURS.index(Colour.WHITE)
    found[value < _DARK] = _COLOURS.index(Colour.BLACK)
    return found
