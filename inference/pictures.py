"""Bytes from a stranger in, a safe upright RGB picture out, or a refusal that says what to do."""

from __future__ import annotations

import contextlib
import math
import warnings
from dataclasses import dataclass
from io import BytesIO

import pillow_heif
from PIL import Image

from inference.types import PictureError

pillow_heif.register_heif_opener()

MAX_BYTES = 50_000_000
MAX_PIXELS = 50_000_000
# What comes out is at most this large, about what a phone's camera takes: the time to read a picture grows
# with its area, and nothing downstream sees more detail.
WORKING_PIXELS = 12_000_000

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
    | {".heic", ".heif", ".hif", ".avif", ".jp2"}
)

# Only these decoders are ever tried: Pillow knows some forty more, one of which (EPS) runs another program.
Image.init()
_WANTED = ("JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "BMP", "TIFF", "JPEG2000")
_FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # an older Pillow is built without AVIF
_ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF", "HEIF"})

_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
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


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a person sees it."""

    image: Image.Image  # mode RGB, upright, at most WORKING_PIXELS
    width: int  # pixels of the upright original, before any reduction
    height: int
    notes: tuple[str, ...] = ()  # "first_frame" when the file is an animation


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
    """The first frame of the file, upright, transparency laid on white, in 8-bit RGB.

    The size is read from the header before any pixel is decoded, so a decompression bomb costs nothing.
    Raises PictureError, never anything else, whatever the bytes are.
    """
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
        with _open(data) as source:
            if source.width * source.height > max_pixels:
                raise _too_many_pixels(max_pixels, f"{source.width} x {source.height} pixels")
            try:
                return _decode(source)
            # Forty years of formats raise anything from struct.error to IndexError on damaged data.
            except Exception as error:
                raise _damaged() from error


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as a person sees them, from the header alone. Raises PictureError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(data) as source:
            turned = _orientation(source) in (5, 6, 7, 8)
            return (source.height, source.width) if turned else source.size


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(MAX_PIXELS, "far too many pixels") from error
    except Exception as error:
        if looks_like_picture(data[:16]):
            raise _damaged() from error
        raise _not_a_picture(data) from error


def _decode(source: Image.Image) -> Picture:
    original = source.size
    scale = math.sqrt(WORKING_PIXELS / (source.width * source.height))
    if source.format in {"JPEG", "MPO"} and scale < 1:
        # The JPEG decoder itself can leave out detail (by 2, 4, 8), never below the size asked for.
        source.draft(None, (math.ceil(source.width * scale), math.ceil(source.height * scale)))
    source.load()
    image = _to_rgb(source)
    if scale < 1:
        smaller = (max(1, round(original[0] * scale)), max(1, round(original[1] * scale)))
        image = image.resize(smaller, Image.Resampling.BOX, reducing_gap=2.0)
    turn = _UPRIGHT.get(_orientation(source))
    if turn is not None:
        image = image.transpose(turn)
        if turn not in {
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
        }:
            original = (original[1], original[0])
    return Picture(image, *original, notes=("first_frame",) if _is_animation(source) else ())


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    # A copy even of RGB: the source is closed with its file.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


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
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def _is_animation(image: Image.Image) -> bool:
    # Some formats look for the second frame only now, and it may be damaged: the first one is good.
    with contextlib.suppress(Exception):
        return image.format in _ANIMATED_FORMATS and bool(getattr(image, "is_animated", False))
    return False


def _damaged() -> PictureError:
    return PictureError("truncated", "The picture is damaged or was not sent to its end: send it again.")


def _too_many_pixels(max_pixels: int, has: str) -> PictureError:
    return PictureError(
        "too_many_pixels",
        f"The picture has {has}, more than the {max_pixels // 1_000_000} million that are read: "
        "send a smaller copy.",
    )


def _not_a_picture(data: bytes) -> PictureError:
    head = data[:512].lstrip()
    kind = next((kind for start, kind in _OTHER_STARTS if head.startswith(start)), None)
    if kind is None and data[4:8] == b"ftyp":
        kind = "a video"
    if kind is None and data[:4] == b"RIFF":
        kind = "a video or a sound"
    if kind is None and b"<svg" in head:
        kind = "a vector drawing"
    if kind is not None:
        return PictureError("unsupported", f"This is {kind}: send a picture, for example a JPEG or PNG.")
    return PictureError("not_a_picture", "This is not a picture: send a JPEG, PNG, WebP, GIF or HEIC file.")
