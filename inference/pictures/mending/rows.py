"""Which rows of a picture came, where its file cannot be decoded to its end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

from PIL import Image, ImageFile

from inference.pictures.mending import gif, jpeg, png
from inference.pictures.mending.containers import missing_bytes

Reopen = Callable[[bytes], ImageFile.ImageFile]  # from bytes to a source whose pixels are not decoded yet

_NOISE = 65_536  # bytes; enough to change the first row that it decides
_ALL = frozenset(range(64))  # coefficients of a block of a JPEG


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a picture's pixels."""

    image: Image.Image  # as high as the whole picture
    top: int  # the rows from here
    bottom: int  # to before here are there
    shown: int | None = None  # rows worth showing from the top, where they are more: those below are blurred

    @property
    def share(self) -> float:
        """Of the rows, 0..1."""
        return (self.bottom - self.top) / self.image.height


def came(data: bytes, format: str | None, reopen: Reopen) -> Came | None:
    """Which rows of a file that cannot be decoded to its end came; None where that cannot be told."""
    if format in {"JPEG", "MPO"}:
        return _jpeg_rows(data, reopen)
    if format == "WEBP" or data[4:8] == b"ftyp":
        return _rows_by_filling_up(data, reopen)
    if format == "GIF":
        # Transparent pixels would show neither ground.
        found = _rows_by_grounds(gif.without_transparency(data), reopen)
        return found and replace(found, image=_what_came(data, reopen, None))
    if format == "PNG":
        data = png.with_right_checksum(data) or data
    return _rows_by_grounds(data, reopen)


def _rows_by_grounds(data: bytes, reopen: Reopen) -> Came | None:
    """Decoded on two grounds: the rows that show neither of them came."""
    first, second = (_what_came(data, reopen, shade) for shade in (0, 255))
    return _compared(first, second)


def _what_came(data: bytes, reopen: Reopen, shade: int | None) -> Image.Image:
    source = reopen(data)
    if shade is not None:
        bands = len(source.getbands())
        source.im = Image.new(source.mode, source.size, (shade,) * bands if bands > 1 else shade).im
    try:
        source.load()
    except MemoryError:
        raise
    except Exception:  # that it cannot be decoded to its end is why we are here
        source.tile = []
    return source


def _rows_by_filling_up(data: bytes, reopen: Reopen) -> Came | None:
    """For decoders that show nothing of a file that is too short: it is filled up, in several ways."""
    missing = missing_bytes(data)
    if not missing:
        return None
    # Zeros are what most decoders get through; a little noise before them changes all that follows.
    lengths = (0, 32, 16, 8, 4, 2, 1, 1, 1)
    fills = [(_noise(seed, length) + bytes(missing))[:missing] for seed, length in enumerate(lengths)]
    first: Image.Image | None = None
    bottoms: list[int] = []
    for fill in fills:
        try:
            source = reopen(data + fill)
            source.load()
            loaded = source.convert("RGBA" if source.has_transparency_data else "RGB")
        except MemoryError:
            raise
        except Exception:  # noqa: S112 - not every filling can be decoded
            continue
        if first is None:
            first = loaded
            continue
        found = _compared(first, loaded)
        # These formats are written from the top on: rows that are the same further below are so by chance.
        bottoms.append(found.bottom if found is not None and found.top == 0 else 0)
        if len(bottoms) == 2:
            break
    return Came(first, 0, min(bottoms)) if first is not None and bottoms else None


def _jpeg_rows(data: bytes, reopen: Reopen) -> Came | None:
    tidy = jpeg.tidy(data)
    if tidy is None:
        return None
    body = tidy[: -len(jpeg.EOI)].rstrip(b"\xff")  # half a mark would make a mark of what follows
    first, second = reopen(body + jpeg.EOI), reopen(body + _noise(0, _NOISE) + jpeg.EOI)
    first.load()
    second.load()
    found = _compared(first, second)
    bottom = found.bottom if found is not None and found.top == 0 else 0
    height, luma_known, luma, final = first.height, *jpeg.scans(body)
    if bottom < height:  # of the last scan, the others came whole
        if luma_known == _ALL:
            return Came(first, 0, height, shown=height)
        if luma == _ALL:
            # Where the mean of each block came before, the rest is there, though blurred.
            return Came(first, 0, bottom, shown=height if 0 in luma_known else None)
        return Came(first, 0, 0)
    if luma != _ALL:
        return Came(first, 0, 0)
    return Came(first, 0, height, shown=None if final else height)


def _compared(first: Image.Image, second: Image.Image) -> Came | None:
    """The longest run of rows that are the same in both."""
    if first.size != second.size or first.mode != second.mode:
        return None
    one, other = first.tobytes(), second.tobytes()
    step = len(one) // first.height
    same = [one[at : at + step] == other[at : at + step] for at in range(0, step * first.height, step)]
    top = bottom = position = 0
    for equal, run in groupby(same):
        length = sum(1 for _ in run)
        if equal and length > bottom - top:
            top, bottom = position, position + length
        position += length
    return Came(first, top, bottom)


def _noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length).replace(b"\xff", b"\x7f")
