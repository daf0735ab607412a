"""WebP: its chunks."""

from __future__ import annotations

import struct

_NEEDED = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
_FLAGS, _EXIF = 0x12, 0x08  # of VP8X: alpha and animation; EXIF


def tidy(data: bytes) -> bytes:
    """The picture's chunks; of an animation the first frame, twice where others followed."""
    needed: list[bytes] = []
    exif: list[bytes] = []
    frames = 0
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        chunk = data[position : position + 8 + length]
        position += 8 + length + length % 2
        frames += kind == b"ANMF"
        if kind == b"EXIF" and len(chunk) == 8 + length:
            exif.append(chunk)
        elif kind in _NEEDED or (kind == b"ANMF" and frames == 1):
            needed.append(chunk)
    if frames > 1:
        needed.append(needed[-1])
    extended = needed and needed[0][:4] == b"VP8X" and len(needed[0]) == 18
    if extended:
        flags = (needed[0][8] & _FLAGS) | (_EXIF if exif else 0)
        needed[0] = needed[0][:8] + bytes([flags]) + needed[0][9:]
    # A last chunk that was cut keeps its length; what is missing counts as part of the file.
    declared = struct.unpack_from("<I", needed[-1], 4)[0] if needed else 0
    missing = max(0, 8 + declared - len(needed[-1])) if needed else 0
    kept = needed + (exif[:1] if extended and not missing else [])
    body = b"WEBP" + b"".join(chunk + b"\0" * (len(chunk) % 2 if not missing else 0) for chunk in kept)
    return b"RIFF" + struct.pack("<I", len(body) + missing + (declared % 2 if missing else 0)) + body
