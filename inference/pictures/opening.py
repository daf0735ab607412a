"""Bytes from a stranger in, a safe upright RGB picture out, or a refusal that says what to do."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import pillow_heif
from PIL import Image, ImageChops, ImageFile, ImageFilter, ImageOps, TiffImagePlugin

from inference.common.types import PictureError
from inference.pictures import mending

pillow_heif.register_heif_opener()

# Another number whenever a picture looks otherwise when it is opened: what was computed of it is then stale.
OPENING = 2
MAX_BYTES = 50_000_000
MAX_PIXELS = 50_000_000
# What comes out is at most this large, about what a phone's camera takes: the time to read a picture grows
# with its area, and nothing downstream sees more detail.
WORKING_PIXELS = 12_000_000

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
    | {".heic", ".heif", ".hif", ".avif", ".jp2"}
)

# Of pictures that are known but not read. A file's name may be all that says so before it is fetched.
OTHER_SUFFIXES = frozenset(
    {".jxl", ".jxr", ".wdp", ".hdp", ".ico", ".cur", ".icns", ".psd", ".psb", ".xcf", ".kra", ".svg", ".svgz"}
    | {".eps", ".ai", ".wmf", ".emf", ".cdr", ".djvu", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"}
    | {
        ".raf",
        ".pef",
        ".srw",
        ".tga",
        ".pcx",
        ".dds",
        ".exr",
        ".hdr",
        ".qoi",
        ".flif",
        ".bpg",
        ".ppm",
        ".pgm",
    }
    | {".pbm", ".pnm", ".pam", ".xpm", ".xbm", ".jng", ".mng", ".fits"}
)

# Only these decoders are ever tried: Pillow knows some forty more, one of which (EPS) runs another program.
Image.init()
_WANTED = ("JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "BMP", "TIFF", "JPEG2000")
_FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # an older Pillow is built without AVIF
_PLAIN_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000")
_JPEG = frozenset({"JPEG", "MPO"})
_ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})

# More than half of the rows is more than what is missing: of a meme, the upper words and most of the picture.
_MOST_ROWS = 0.5
_PAGES = 20  # of a TIFF that are looked at to find a second one
_SUBFILE_TYPE = 254
# Words of decoders about what they never learnt, as against what is damaged.
_UNSUPPORTED = re.compile(
    r"unsupported|not (yet )?supported|unknown (pixel|raw) mode|cannot handle|no decoder|not implemented",
    re.I,
)

# The ground for transparent pictures: the first one where it loses little, else the one that loses least.
_GROUNDS = (255, 0, 128)
_BEARABLE = 0.1  # share of the edge that may be lost on the first
_CONTRAST = 96  # of 255; an edge this far from the ground is seen well
_INSIDE = 64  # of 255; what an outline surrounds is this far from the ground
_OUTLINE = 0.024  # of the longer side: as wide as the white outline of a sticker may be
_CORNERS = 0.08  # of the shorter side: as large as a rounded corner may be
_LOOKED_AT = 1024  # pixels of the longer side, at most, that this is found on

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_PICTURE_BRANDS = frozenset({*_HEIC_BRANDS, b"avif", b"avis"})
_PICTURE_STARTS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
_OTHER_STARTS = (
    (b"\x1aE\xdf\xa3", "a video"),
    (b"OggS", "a voice message or a sound"),
    (b"ID3", "a sound"),
    (b"fLaC", "a sound"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "an archive or an office document"),
    (b"\x1f\x8b", "an animated sticker or an archive"),
    (b"<svg", "a vector drawing"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"II\xbc", "a JPEG XR picture"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x02\x00", "a mouse pointer"),
    (b"icns", "an icon"),
    (b"IIRO", "a camera's raw picture"),
    (b"IIRS", "a camera's raw picture"),
    (b"MMOR", "a camera's raw picture"),
    (b"IIU\x00", "a camera's raw picture"),
    (b"FUJIFILMCCD-RAW", "a camera's raw picture"),
    (b"FOVb", "a camera's raw picture"),
    (b"\x00MRM", "a camera's raw picture"),
    (b"DDS ", "a texture"),
    (b"\xabKTX ", "a texture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"#?RGBE", "a Radiance picture"),
    (b"qoif", "a QOI picture"),
    (b"FLIF", "a FLIF picture"),
    (b"BPG\xfb", "a BPG picture"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\x8aMNG", "an animation"),
    (b"\x8bJNG", "a JNG picture"),
    (b"\xd7\xcd\xc6\x9a", "a vector drawing"),
    (b"SIMPLE  =", "an astronomer's picture"),
    *((b"P%d%c" % (kind, space), "a Netpbm picture") for kind in range(1, 8) for space in b" \n\r\t"),
)
_RARE = "a rare kind of a known format"
# Behind "ftyp"; what is not listed is a video.
_OTHER_BRANDS = {b"crx ": "a camera's raw picture", b"jxl ": "a JPEG XL picture"} | dict.fromkeys(
    (b"mif2", b"miaf", b"avci", b"avcs", b"j2ki", b"j2is", b"jpeg", b"vvic"), _RARE
)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})


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


def looks_like_picture(head: bytes) -> bool:
    """Whether a file that begins so (16 bytes are enough) is of a format that is read here."""
    return (
        head.startswith(_PICTURE_STARTS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS)
        # "BM" alone could begin a text: the four reserved bytes of the header are zeros.
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
    )


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
        # Forty years of formats raise anything from struct.error to IndexError on damaged data.
        except Exception as error:
            raise _unreadable(error) from error


def read_header(data: bytes) -> Header:
    """Format and size (that of :func:`load_picture`) from the header alone. Raises PictureError."""
    with _opened(data, MAX_PIXELS) as opened:
        source = opened.source
        try:
            return Header(source.format or "", *_upright_size(source, _orientation(source)))
        except Exception as error:
            raise _unreadable(error) from error


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
                if source.format in _JPEG and mending.ends_in_filler(source):
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
        except Exception as error:
            problem = problem or error
    if looks_like_picture(data[:16]):
        raise _unreadable(_why_not(data)) from problem
    raise _not_a_picture(data) from problem


def _readings(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What may be decoded, the best first; and what to open for it."""
    png = data.startswith(mending.PNG)
    if not png:  # in which all may stand behind the pixels, that would have to be decoded before it is read
        yield data, data
    tidy = mending.tidied(data)
    if tidy is not None:
        yield tidy, tidy
    if png:
        yield data, data
    short = data if tidy is None else tidy
    filled = mending.filled_up(short)
    if filled is not None:
        yield short, filled


def _open_as_it_is(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        source = Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(MAX_PIXELS, "far too many pixels") from error
    if source.width * source.height > max_pixels:
        raise _too_many_pixels(max_pixels, f"{source.width} x {source.height} pixels")
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
    orientation = _orientation(source)
    size = _upright_size(source, orientation)
    scale = min(1.0, math.sqrt(WORKING_PIXELS / (source.width * source.height)))
    wanted = tuple(max(1, round(side * scale)) for side in source.size)

    def reopened(data: bytes) -> ImageFile.ImageFile:
        if source.format == "TIFF":
            # Turned below, like all others: Pillow turns it while it decodes, but not where rows are missing.
            again = _open_as_it_is(mending.without_orientation(data), MAX_PIXELS)
            again.getexif()[_ORIENTATION_TAG] = 1
        else:
            again = _open_as_it_is(data, MAX_PIXELS)
        if again.format in _JPEG and scale < 1:
            # The JPEG decoder itself can leave out detail (by 2, 4, 8), never below the size asked for.
            again.draft(None, (math.ceil(source.width * scale), math.ceil(source.height * scale)))
        return again

    notes = [several] if (several := _several(source)) else []
    whole, rows = _pixels(opened, reopened)
    factor = (wanted[0] / whole.width, wanted[1] / whole.height) if scale < 1 else (1.0, 1.0)
    if rows is not None:
        notes.append("partial")
        whole = whole.crop((0, rows[0], whole.width, rows[1]))
    image = _to_rgb(whole)
    if scale < 1:
        smaller = (max(1, round(image.width * factor[0])), max(1, round(image.height * factor[1])))
        image = image.resize(smaller, Image.Resampling.BOX, reducing_gap=2.0)
    turn = _UPRIGHT.get(orientation)
    return Picture(image if turn is None else image.transpose(turn), *size, notes=tuple(notes))


def _pixels(
    opened: _Opened, reopen: Callable[[bytes], ImageFile.ImageFile]
) -> tuple[Image.Image, tuple[int, int] | None]:
    """The decoded picture; and, where not all of it came, from which row to which it is worth showing."""
    data, kind = opened.data, opened.source.format
    problem: Exception | None = None
    # What a JPEG lacks is made up by its decoder: tidied, it ends well whatever is missing.
    for once in () if opened.short else (data,) if kind in _JPEG else (data, mending.tidied(data)):
        if once is None:
            continue
        try:
            source = reopen(once)
            source.load()
        except Exception as error:
            problem = problem or error
        else:
            if kind in _JPEG and mending.ends_in_filler(source):
                break
            return source, None
    if kind not in _JPEG:
        data = mending.tidied(data) or data
    found = mending.came(data, kind, reopen)
    if found is None or found.share <= _MOST_ROWS:
        raise _unreadable(problem)
    if found.shown is not None:
        return found.image, (0, found.shown)
    return found.image, None if found.share == 1 else (found.top, found.bottom)


def _upright_size(source: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = source.size
    if isinstance(source, TiffImagePlugin.TiffImageFile):
        # Some versions of Pillow tell its size as it will be when turned, others as it is stored.
        width, height = source.tag_v2[TiffImagePlugin.IMAGEWIDTH], source.tag_v2[TiffImagePlugin.IMAGELENGTH]
    return (height, width) if orientation in _ON_ITS_SIDE else (width, height)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        return _on_a_ground(image.convert("RGBA"))
    # A copy even of RGB: the source is closed with its file.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _on_a_ground(layer: Image.Image) -> Image.Image:
    """What is opaque, on a ground against which it stands out; white where nothing speaks against it."""
    alpha = layer.getchannel("A")
    least, most = alpha.getextrema()
    if most == 0 or least == 255:  # an alpha channel that is 0 everywhere was never filled in
        return layer.convert("RGB")
    ground = Image.new("RGBA", layer.size, (*(_ground(layer, alpha),) * 3, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def _ground(layer: Image.Image, alpha: Image.Image) -> int:
    """The brightness of a ground on which little of the edge of what is opaque is lost, 0..255.

    What is lost is an edge that looks like the ground, unless what it surrounds stands out close by: the
    white outline of a sticker may vanish, white letters may not.
    """
    # Not averaged: thin letters must keep their own colour.
    factor = min(1.0, _LOOKED_AT / max(layer.size))
    size = (max(1, round(layer.width * factor)), max(1, round(layer.height * factor)))
    brightness = layer.convert("RGB").convert("L").resize(size, Image.Resampling.NEAREST)
    alpha = alpha.resize(size, Image.Resampling.NEAREST)
    # Pale as a whole is opaque all the same; fainter than a quarter of that is a shadow or a softened edge.
    threshold = max(1, alpha.getextrema()[1] // 4)  # type: ignore[operator]  # one band: two numbers
    solid = alpha.point(lambda value: 255 if value >= threshold else 0)
    empty = ImageChops.invert(solid)
    # Rounded corners hold nothing that could be lost.
    corner = max(1, round(min(size) * _CORNERS))
    for x in (0, size[0] - corner):
        for y in (0, size[1] - corner):
            empty.paste(0, (x, y, x + corner, y + corner))
    edge = ImageChops.multiply(solid, empty.filter(ImageFilter.MaxFilter(5)))
    total = sum(edge.histogram()[1:])
    if not total:
        return _GROUNDS[0]
    near = max(2, round(max(size) * _OUTLINE))

    def lost(ground: int) -> float:
        stands_out = brightness.point(lambda value: 255 if abs(value - ground) >= _INSIDE else 0)
        inside = ImageChops.multiply(stands_out, solid).filter(ImageFilter.BoxBlur(near))
        bare = ImageChops.multiply(edge, inside.point(lambda value: 0 if value else 255))
        counts = brightness.histogram(bare)
        return sum(n * max(0.0, 1 - abs(v - ground) / _CONTRAST) for v, n in enumerate(counts)) / total

    losses = {ground: lost(ground) for ground in _GROUNDS}
    if losses[_GROUNDS[0]] <= _BEARABLE:
        return _GROUNDS[0]
    return min(_GROUNDS, key=lambda ground: losses[ground])


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, scaled to 0..255; Pillow's own conversion would clip at 255."""
    wide = image.convert("F")
    extrema = wide.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]  # one band: two numbers
    ranges = {"F": (1.0, 255.0, 65535.0)}.get(image.mode, (65535.0,))
    # The smallest of the customary ranges that holds every value; failing that, the values' own.
    top = next((top for top in ranges if low >= 0 and high <= top), None)
    bottom, top = (0.0, top) if top else (low, max(high, low + 1.0))
    factor = 255.0 / (top - bottom)
    grey = wide.point(lambda value: value * factor - bottom * factor).convert("L")
    grey.info.pop("transparency", None)  # a value of the old range
    return grey


def _orientation(image: Image.Image) -> int:
    # Broken EXIF is no reason to refuse a picture that decodes.
    with contextlib.suppress(Exception):
        # Not the PNG reader's own, which decodes the pixels first.
        return int(Image.Image.getexif(image).get(_ORIENTATION_TAG, 1))
    return 1


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


def _damaged() -> PictureError:
    return PictureError("truncated", "The picture is damaged or was not sent to its end: send it again.")


def _unreadable(error: BaseException | None) -> PictureError:
    """A refusal of what begins like a picture that is read here."""
    if isinstance(error, PictureError):
        return error
    # Pillow looks modes and compressions up in tables.
    if error is not None and (_UNSUPPORTED.search(str(error)) or isinstance(error.__cause__, KeyError)):
        return _unsupported(_RARE)
    return _damaged()


def _unsupported(kind: str) -> PictureError:
    return PictureError("unsupported", f"This is {kind}: send a picture, for example a JPEG or PNG.")


def _too_many_pixels(max_pixels: int, has: str) -> PictureError:
    return PictureError(
        "too_many_pixels",
        f"The picture has {has}, more than the {max_pixels // 1_000_000} million that are read: "
        "send a smaller copy.",
    )


def _not_a_picture(data: bytes) -> PictureError:
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = next(
        (kind for start, kind in _OTHER_STARTS if data.startswith(start) or head.startswith(start)), None
    )
    if kind is None and data[4:8] == b"ftyp":
        kind = _OTHER_BRANDS.get(data[8:12], "a video")
    if kind is None and data[40:44] == b" EMF" and data[:4] == b"\1\0\0\0":
        kind = "a vector drawing"
    if kind is None and data[:4] == b"RIFF":
        kind = "a video or a sound"
    if kind is None and b"<svg" in head:
        kind = "a vector drawing"
    if kind is not None:
        return _unsupported(kind)
    return PictureError("not_a_picture", "This is not a picture: send a JPEG, PNG, WebP, GIF or HEIC file.")
