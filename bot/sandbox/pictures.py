"""What Telegram's clients and servers make of a picture: the sizes of a photo, the thumbnail of a file."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from inference.common.types import PictureError
from inference.pictures.opening import load_picture, read_header

_LADDER = (90, 320, 800, 1280)  # the largest side of each size of a photo that a bot is shown
_MAX_SIDES = 10_000  # width + height of a photo
_MAX_RATIO = 20
_THUMBNAIL = 320


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
        header = read_header(data)
        width, height = header.width, header.height
        if width + height > _MAX_SIDES or max(width, height) > _MAX_RATIO * min(width, height):
            raise NotAPhotoError("PHOTO_INVALID_DIMENSIONS")
        upright = load_picture(data).image
    except PictureError as error:
        raise NotAPhotoError("IMAGE_PROCESS_FAILED") from error
    boxes = [box for box in _LADDER if box < max(upright.size)] + [min(_LADDER[-1], max(upright.size))]
    return [_jpeg(upright, box) for box in sorted(set(boxes))]


def thumbnail(data: bytes) -> Sized | None:
    """A small JPEG of an image file, or None where there is nothing that can be drawn safely."""
    try:
        return _jpeg(load_picture(data).image, _THUMBNAIL)
    except PictureError:
        return None


def picture_size(data: bytes) -> tuple[str, int, int] | None:
    """Format name, upright width and height from the header alone, or None when it is no picture."""
    try:
        header = read_header(data)
    except PictureError:
        return None
    return header.format, header.width, header.height


def _jpeg(image: Image.Image, box: int) -> Sized:
    small = image.copy()
    small.thumbnail((box, box), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=87)
    return Sized(buffer.getvalue(), small.width, small.height)
