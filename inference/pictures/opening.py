"""Bytes from a stranger in, a safe upright RGB picture out, or a refusal that says what to do."""

from __future__ import annotations

import contextlib
import importlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import pillow_heif
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from inference.common.types import PictureError
from inference.pictures.kinds import looks_like_picture
from inference.pictures.mending.containers import filled_up
from inference.pictures.mending.jpeg import ends_in_filler, has_scans_beyond
from inference.pictures.mending.png import PNG
from inference.pictures.mending.rows import came
from inference.pictures.mending.tidying import tidied
from inference.pictures.mending.tiff import without_orientation
from inference.pictures.orientation import ORIENTATION_TAG, orientation_of, size_upright, turned
from inference.pictures.refusals import not_a_picture, too_costly, too_many_pixels, unreadable
from inference.pictures.rgb import to_rgb

pillow_heif.register_heif_opener()

# Another number whenever a picture looks otherwise when it is opened: what was computed of it is then stale.
OPENING = 3
MAX_BYTES = 50_000_000
MAX_PIXELS = 50_000_000
# Of a JPEG. Each costs as much as the whole picture, however few bytes it has; whoever looks for the shortest
# file sends some twenty.
MAX_SCANS = 100
# What comes out is at most this large, about what a phone's camera takes: the time to read a picture grows
# with its area, and nothing downstream sees more detail.
WORKING_PIXELS = 12_000_000
# Where the decoder leaves out detail without being asked twice (JPEG, by 2, 4 or 8), it does so down to these
# sides, if both are longer: the detector of print looks at two fifths of them, and finds no line there that
# is too small to be read.
DETAILED_SIDES = 2000, 1200  # pixels, the longer and the shorter: a strip of a phone's screens keeps its own

# Only these decoders are ever tried: Pillow knows some forty more, one of which (EPS) runs another program.
# Nor are others imported, which takes a while in each process that opens pictures.
Image.preinit()  # BMP, GIF, JPEG and PNG
for _plugin in ("Avif", "Jpeg2K", "WebP"):
    with contextlib.suppress(ImportError):
        importlib.import_module(f"PIL.{_plugin}ImagePlugin")
_WANTED = ("JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "BMP", "TIFF", "JPEG2000")
_FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # an older Pillow is built without AVIF
_PLAIN_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000")
_JPEG = frozenset({"JPEG", "MPO"})
_ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})

# More than half of the rows is more than what is missing: of a meme, the upper words and most of the picture.
_MOST_ROWS = 0.5
_PAGES = 20  # of a TIFF that are looked at to find a second one
_SUBFILE_TYPE = 254


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a person sees it."""

    image: Image.Image  # mode RGB, upright, at most WORKING_PIXELS; of a "partial" one, what came
    width: int  # pixels of the upright original, before any reduction
    height: int
    # "first_frame": it is an animation; "first_page": the file holds several pictures; "partial": rows are
    # missing, or came blurred.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture."""

    format: str  # as Pillow calls it
    width: int  # pixels, upright
    height: int


def load_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The first frame of the file, upright, transparency laid on a ground that shows it, in 8-bit RGB.

    Side data that is damaged, too large or missing is ignored. Where rows are missing, but less than half of
    them, the picture is what came. The size is read from the header before any pixel is decoded, so a
    decompression bomb costs nothing. Raises PictureError, never anything else, whatever the bytes are.
    """
    with _opened(data, max_pixels) as opened:
        try:
            return _decode(opened)
        except PictureError:
            raise
        except MemoryError as error:
            raise too_costly() from error
        # Forty years of formats raise anything from struct.error to IndexError on damaged data.
        except Exception as error:
            raise unreadable(error) from error


def read_header(data: bytes) -> Header:
    """Format and size (that of :func:`load_picture`) from the header alone. Raises PictureError."""
    with _opened(data, MAX_PIXELS) as opened:
        source = opened.source
        try:
            return Header(source.format or "", *size_upright(source, orientation_of(source)))
        except Exception as error:
            raise unreadable(error) from error


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as a person sees them, from the header alone. Raises PictureError."""
    header = read_header(data)
    return header.width, header.height


def opens_in_pillow(data: bytes) -> bool:
    """Whether Pillow, without anything that is added to it, decodes this file of a format it always knew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data), formats=_PLAIN_FORMATS) as source:
                if source.width * source.height > MAX_PIXELS:
                    return False
                source.load()
                if source.format in _JPEG and ends_in_filler(source):
                    return False  # or so it seems
                ImageOps.exif_transpose(source)  # which others do next, and it reads the side data
        except Exception:
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Opened:
    """A source, its pixels not decoded, and what it is decoded from."""

    source: ImageFile.ImageFile
    data: bytes
    short: bool = False  # `source` could only be opened with something put in the place of its end


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[_Opened]:
    if not data:
        raise PictureError("empty", "The file is empty: send the picture again.")
    if len(data) > MAX_BYTES:
        raise PictureError(
            "too_large",
            f"The file is larger than {MAX_BYTES // 1_000_000} MB: send a smaller copy of the picture.",
        )
    with warnings.catch_warnings():
        # Decoders warn of odd metadata, and of bombs long after we refused them.
        warnings.simplefilter("ignore")
        opened = _open(data, max_pixels)
        with opened.source:
            yield opened


def _open(data: bytes, max_pixels: int) -> _Opened:
    problem: Exception | None = None
    for tried, read in _readings(data):
        try:
            return _Opened(_open_as_it_is(read, max_pixels), tried, short=read is not tried)
        except PictureError:
            raise
        except MemoryError as error:
            raise too_costly() from error
        except Exception as error:
            problem = problem or error
    if looks_like_picture(data[:16]):
        raise unreadable(_why_not(data)) from problem
    raise not_a_picture(data) from problem


def _readings(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What may be decoded, the best first; and what to open for it."""
    png = data.startswith(PNG)
    if not png:  # in which all may stand behind the pixels, that would have to be decoded before it is read
        yield data, data
    tidy = tidied(data)
    if tidy is not None:
        yield tidy, tidy
    if png:
        yield data, data
    short = data if tidy is None else tidy
    filled = filled_up(short)
    if filled is not None:
        yield short, filled


def _open_as_it_is(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        source = Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise too_many_pixels(MAX_PIXELS, "far too many pixels") from error
    if source.width * source.height > max_pixels:
        raise too_many_pixels(max_pixels, f"{source.width} x {source.height} pixels")
    return source


def _why_not(data: bytes) -> Exception | None:
    """What the decoder of these bytes says: Pillow only says that none took them."""
    for name in _FORMATS:
        factory, accepts = Image.OPEN[name]
        try:
            if accepts is None or accepts(data[:16]) is True:
                factory(BytesIO(data), "").close()
        except Exception as error:
            return error
    return None


def _decode(opened: _Opened) -> Picture:
    source = opened.source
    if source.format in _JPEG and has_scans_beyond(opened.data, MAX_SCANS):
        raise too_costly()
    orientation = orientation_of(source)
    size = size_upright(source, orientation)
    scale = min(1.0, math.sqrt(WORKING_PIXELS / (source.width * source.height)))
    wanted = tuple(max(1, round(side * scale)) for side in source.size)
    detail = max(DETAILED_SIDES[0] / max(source.size), DETAILED_SIDES[1] / min(source.size))

    def reopened(data: bytes) -> ImageFile.ImageFile:
        if source.format == "TIFF":
            # Turned below, like all others: Pillow turns it while it decodes, but not where rows are missing.
            again = _open_as_it_is(without_orientation(data), MAX_PIXELS)
            again.getexif()[ORIENTATION_TAG] = 1
        else:
            again = _open_as_it_is(data, MAX_PIXELS)
        if again.format in _JPEG:  # never below the size asked for
            least = min(scale, detail)
            again.draft(None, (math.ceil(source.width * least), math.ceil(source.height * least)))
        return again

    notes = [several] if (several := _several(source)) else []
    decoded, rows = _pixels(opened, reopened)
    factor = wanted[0] / decoded.width, wanted[1] / decoded.height
    if rows is not None:
        notes.append("partial")
        decoded = decoded.crop((0, rows[0], decoded.width, rows[1]))
    image = to_rgb(decoded)
    is_source = image is decoded
    del decoded  # a large picture is in memory once, if that can be
    if factor[0] * factor[1] < 1:
        smaller = (max(1, round(image.width * factor[0])), max(1, round(image.height * factor[1])))
        image, is_source = image.resize(smaller, Image.Resampling.BOX, reducing_gap=2.0), False
    return Picture(turned(image.copy() if is_source else image, orientation), *size, notes=tuple(notes))


def _pixels(
    opened: _Opened, reopen: Callable[[bytes], ImageFile.ImageFile]
) -> tuple[Image.Image, tuple[int, int] | None]:
    """The decoded picture; and, where not all of it came, from which row to which it is worth showing."""
    data, kind = opened.data, opened.source.format
    problem: Exception | None = None
    # What a JPEG lacks is made up by its decoder: tidied, it ends well whatever is missing.
    for once in () if opened.short else (data,) if kind in _JPEG else (data, tidied(data)):
        if once is None:
            continue
        try:
            source = reopen(once)
            source.load()
        except MemoryError:
            raise
        except Exception as error:
            problem = problem or error
        else:
            if kind in _JPEG and ends_in_filler(source):
                break
            return source, None
    if kind not in _JPEG:
        data = tidied(data) or data
    found = came(data, kind, reopen)
    if found is None or found.share <= _MOST_ROWS:
        raise unreadable(problem)
    if found.shown is not None:
        return found.image, (0, found.shown)
    return found.image, None if found.share == 1 else (found.top, found.bottom)


def _several(image: ImageFile.ImageFile) -> str | None:
    """The note on what else the file holds, if anything."""
    # Some formats look for the second frame only now, and it may be damaged: the first one is good.
    with contextlib.suppress(Exception):
        if image.format in _ANIMATED_FORMATS and bool(getattr(image, "is_animated", False)):
            return "first_frame"
        if image.format == "HEIF" and getattr(image, "n_frames", 1) > 1:
            return "first_page"
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            for page in range(1, _PAGES):
                image.seek(page)
                # A smaller copy of a page, or its mask, is no page.
                if not int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & 0b101:
                    return "first_page"
    return None
