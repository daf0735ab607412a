"""How long a file says that it is, where its container says it: RIFF (WebP) and ISO boxes (HEIF, AVIF)."""

from __future__ import annotations

import struct

_MOST = 50_000_000  # bytes of a file that is filled up


def filled_up(data: bytes) -> bytes | None:
    """The file at the length that it says it has; None where it has that, or does not say it."""
    missing = missing_bytes(data)
    return data + bytes(missing) if missing else None


def missing_bytes(data: bytes) -> int:
    """How many bytes of a file did not come, by what it says itself; 0 also where that cannot be."""
    if (data[:4] == b"RIFF" and len(data) > 12) or data[4:8] == b"ftyp":
        missing = _declared_size(data) - len(data)
        return missing if 0 < missing <= _MOST else 0
    return 0


def _declared_size(data: bytes) -> int:
    """How long the container says that it is."""
    if data[:4] == b"RIFF":
        return 8 + int(struct.unpack_from("<I", data, 4)[0])
    position = 0
    while position + 16 <= len(data):
        size = int(struct.unpack_from(">I", data, position)[0])
        if size == 1:
            size = int(struct.unpack_from(">Q", data, position + 8)[0])
        if size < 8:  # 0: to the end of the file
            break
        position += size
    return position
