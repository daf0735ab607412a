"""A file without its side data, whatever its format; BMP and JPEG 2000 have little to tidy."""

from __future__ import annotations

import struct
from collections.abc import Callable

from inference.pictures.mending import gif, jpeg, png, tiff, webp


def tidied(data: bytes) -> bytes | None:
    """The file without its side data, ended where its end is missing; None: nothing is known to be done."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp.tidy(data)
    tidy = next((tidy for start, tidy in _TIDY if data.startswith(start)), None)
    return tidy(data) if tidy is not None else None


def _tidy_bmp(data: bytes) -> bytes | None:
    if len(data) < 30:
        return None
    width, bits = struct.unpack_from("<i", data, 18)[0], struct.unpack_from("<H", data, 28)[0]
    return data + bytes(-((width * bits + 7) // 8) % 4)  # what fills up the last row


def _tidy_jpeg_2000(data: bytes) -> bytes:
    return data + jpeg.EOI  # the same mark ends both


_TIDY: tuple[tuple[bytes, Callable[[bytes], bytes | None]], ...] = (
    (png.PNG, png.tidy),
    (b"\xff\xd8\xff", jpeg.tidy),
    (b"GIF87a", gif.tidy),
    (b"GIF89a", gif.tidy),
    (b"II*\0", tiff.tidy),
    (b"MM\0*", tiff.tidy),
    (b"BM", _tidy_bmp),
    (b"\0\0\0\x0cjP  ", _tidy_jpeg_2000),
    (b"\xff\x4f\xff\x51", _tidy_jpeg_2000),
)
