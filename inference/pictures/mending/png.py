"""PNG: its chunks, and the checksum of its pixels."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
_MOST_TEXT = 1_000_000  # bytes of one chunk of side data, unpacked
_NEEDED = frozenset({b"IHDR", b"PLTE", b"eXIf"})
_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # they may say how the picture is turned
_NEXT = re.compile(rb"IDAT|PLTE|tRNS|IEND")
_ANIMATION = frozenset({b"acTL", b"fcTL"})


def tidy(data: bytes) -> bytes:
    """What says how the pixels look stands before them, nothing else does, and the end is there."""
    if b"IEND" not in data[-4096:]:
        data = data.rstrip(b"\0")  # a download that was given its full length before it came
    front, pixels = [], []
    for kind, body in _chunks(data):
        if kind == b"IDAT":
            pixels.append(_chunk(kind, body))
        elif not pixels or kind not in _ANIMATION:
            front.append((kind, body))
    kept = [_chunk(kind, body) for kind, body in front if _needs(kind, body, front)]
    return b"".join([PNG, *kept, *pixels, _chunk(b"IEND", b"")])


def _needs(kind: bytes, body: bytes, others: list[tuple[bytes, bytes]]) -> bool:
    header = others[0][1] if others[0][0] == b"IHDR" and len(others[0][1]) >= 13 else bytes(13)
    if kind == b"tRNS":  # grey, colour, palette
        return len(body) in {0: (2,), 2: (6,), 3: range(1, 257)}.get(header[9], ())
    if kind == b"acTL":
        frames = [one for other, one in others if other == b"fcTL"]
        return len(body) == 8 and all(_needs(b"fcTL", one, others) for one in frames)
    if kind == b"fcTL":
        if len(body) != 26 or not any(other == b"acTL" and len(one) == 8 for other, one in others):
            return False
        number, width, height, left, top = struct.unpack_from(">5I", body)
        whole = struct.unpack_from(">2I", header)
        return bool(number == 0 and 0 < width <= whole[0] - left and 0 < height <= whole[1] - top)
    if kind in {b"iTXt", b"zTXt", b"tEXt"}:
        return body.startswith(_TEXTS) and _is_short(body)
    return kind in _NEEDED


def with_right_checksum(data: bytes) -> bytes | None:
    """Its pixels with the checksum that is theirs; None when they do not come to their end."""
    chunks = list(_chunks(data))
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    unpacker, checksum = zlib.decompressobj(-zlib.MAX_WBITS), zlib.adler32(b"")
    rest = packed[2:]
    try:
        while rest and not unpacker.eof:
            checksum = zlib.adler32(unpacker.decompress(rest, _MOST_TEXT), checksum)
            rest = unpacker.unconsumed_tail
    except zlib.error:
        return None
    if not unpacker.eof:
        return None
    whole = packed[: len(packed) - len(unpacker.unused_data)] + struct.pack(">I", checksum)
    others = [_chunk(kind, body) for kind, body in chunks if kind != b"IDAT"]
    return b"".join([PNG, *others, _chunk(b"IDAT", whole), _chunk(b"IEND", b"")])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind == b"IEND":
            return
        if kind != b"IDAT" and (not kind.isalpha() or not (data[end + 4 : end + 8].isalpha())):
            # It does not know its length: on to the next one that matters.
            found = _NEXT.search(data, position + 8)
            if found is None or found.start() < position + 12:
                return
            position = found.start() - 4
            continue
        yield kind, data[position + 8 : end - 4]
        position = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _is_short(body: bytes) -> bool:
    if len(body) > _MOST_TEXT:
        return False
    packed = body.find(b"\x78")  # where the compressed part may begin
    while 0 <= packed < 200:
        unpacker = zlib.decompressobj()
        try:
            unpacker.decompress(body[packed:], _MOST_TEXT)
        except zlib.error:
            packed = body.find(b"\x78", packed + 1)
            continue
        return not unpacker.unconsumed_tail
    return True
