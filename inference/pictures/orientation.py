"""Which way up a picture is stored, as its EXIF data says it: 1 to 8, where 1 is upright."""

from __future__ import annotations

import contextlib

from PIL import Image, TiffImagePlugin

ORIENTATION_TAG = 0x0112
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


def orientation_of(image: Image.Image) -> int:
    """What the side data says; 1 where it says nothing."""
    # Broken EXIF is no reason to refuse a picture that decodes.
    with contextlib.suppress(Exception):
        # Not the PNG reader's own, which decodes the pixels first.
        return int(Image.Image.getexif(image).get(ORIENTATION_TAG, 1))
    return 1


def size_upright(source: Image.Image, orientation: int) -> tuple[int, int]:
    """Width and height in pixels when it is turned upright."""
    width, height = source.size
    if isinstance(source, TiffImagePlugin.TiffImageFile):
        # Some versions of Pillow tell its size as it will be when turned, others as it is stored.
        width, height = source.tag_v2[TiffImagePlugin.IMAGEWIDTH], source.tag_v2[TiffImagePlugin.IMAGELENGTH]
    return (height, width) if orientation in _ON_ITS_SIDE else (width, height)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture upright."""
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
