"""What Telegram's clients and servers make of a picture: the sizes of a photo, the thumbnail of a file."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageOps

_LADDER = (90, 320, 800, 1280)  # the largest side of each size of a photo that a bot is shown
_MAX_SIDES = 10_000  # width + height of a photo
_MAX_RATIO = 20
_MAX_PIXELS = 50_000_000  # a larger file gets no thumbnail
_THUMBNAIL = 320
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)


class NotAPhotoError(ValueError):
    """Telegram does not take this as a photo; the message is the server's error code for it."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A JPEG and its size in pixels."""

    data: bytes
    width: int
    height: int


def photo_sizes(data: bytes) -> list[Sized]:
    """The sizes of a photo as Telegram stores it: upright JPEGs without metadata, the smallest first.

    Raises:
        NotAPhotoError: no picture, or one of a shape that Telegram takes only as a file.
    """
    try:
        with Image.open(io.BytesIO(data)) as source:
            width, height = source.size
            if width + height > _MAX_SIDES or max(width, height) > _MAX_RATIO * min(width, height):
                raise NotAPhotoError("PHOTO_INVALID_DIMENSIONS")
            upright = _flat(source)
    except NotAPhotoError:
        raise
    except UNREADABLE as error:
        raise NotAPhotoError("IMAGE_PROCESS_FAILED") from error
    boxes = [box for box in _LADDER if box < max(upright.size)] + [min(_LADDER[-1], max(upright.size))]
    return [_jpeg(upright, box) for box in sorted(set(boxes))]


def thumbnail(data: bytes) -> Sized | None:
    """A small JPEG of an image file, or None where there is nothing that can be drawn safely."""
    try:
        with Image.open(io.BytesIO(data)) as source:
            if source.width * source.height > _MAX_PIXELS:
                return None
            return _jpeg(_flat(source), _THUMBNAIL)
    except UNREADABLE:
        return None


def picture_size(data: bytes) -> tuple[str, int, int] | None:
    """Format name, width and height from the header alone, or None when it is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as source:
            return source.format or "", source.width, source.height
    except UNREADABLE:
        return None


def _flat(source: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(source)
    if upright.mode in ("RGBA", "LA", "P", "PA"):
        coloured = upright.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        upright = Image.alpha_composite(white, coloured)
    elif upright.mode.startswith("I;16"):
        upright = upright.point(lambda value: value / 257).convert("L")
    return upright.convert("RGB")


def _jpeg(image: Image.Image, box: int) -> Sized:
    small = image.copy()
    small.thumbnail((box, box), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=87)
    return Sized(buffer.getvalue(), small.width, small.height)
