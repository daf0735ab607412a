"""A picture's file on the disk, as bytes."""

from __future__ import annotations

from pathlib import Path

from inference.common.types import PictureError
from inference.pictures.opening import MAX_BYTES


def read_file(path: Path) -> bytes:
    """What the file holds. Raises PictureError when it is too large or cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            limit = MAX_BYTES // 1_000_000
            raise PictureError("too_large", f"The file is larger than {limit} MB: make a smaller copy of it.")
        return path.read_bytes()
    except OSError as error:
        sentence = f"The file cannot be read ({error.strerror}): check its name and permissions."
        raise PictureError("unsupported", sentence) from error
    except ValueError as error:  # a zero in the name
        raise PictureError("unsupported", "No file can have this name: correct the row.") from error
