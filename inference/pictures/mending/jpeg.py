"""JPEG: its segments and scans."""

from __future__ import annotations

import re
import struct

from PIL import Image

EOI = b"\xff\xd9"
_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})  # markers without a body
_NEEDED = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD}) - {0xC8}
_SIDE = {0xE0: b"JFIF\0", 0xE1: b"Exif\0", 0xEE: b"Adobe"}  # colours and orientation depend on these
_SHORTEST = 16  # bytes of such a segment
_NEXT = re.compile(rb"\xff[\xc0-\xcf\xda\xdb\xdd\xe0-\xef\xfe]")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_GREY = (126, 127, 128, 129, 130)  # what the JPEG decoder shows where nothing came, give or take a rounding


def tidy(data: bytes) -> bytes | None:
    """Its tables, its frame and its scans up to the end of the first picture; None when it has no scan."""
    kept = [b"\xff\xd8"]
    position = 2
    while match := _NEXT.search(data, position):
        marker, start = match[0][1], match.end()
        if start + 2 > len(data):
            return None
        length = struct.unpack_from(">H", data, start)[0]
        end = start + length
        if length < 2 or (marker not in _NEEDED and marker != 0xDA and data[end : end + 1] != b"\xff"):
            position = start  # a segment that does not know its length: on to the next one
            continue
        segment = data[match.start() : end]
        if marker == 0xDA:
            rest = data[match.start() :]
            finish = _end_of_scans(rest)
            return b"".join([*kept, rest[:finish] if finish is not None else rest.rstrip(b"\0"), EOI])
        side = _SIDE.get(marker)
        if marker in _NEEDED or (side and segment[4:].startswith(side) and len(segment) >= _SHORTEST):
            kept.append(segment)
        position = end
    return None


def _end_of_scans(rest: bytes) -> int | None:
    """Where the mark of the end stands, outside of segments that could hold another picture; or where a
    segment begins that was cut, and says nothing.
    """
    position = 0
    while match := _MARKER.search(rest, position):
        if match[0] == EOI:
            return match.start()
        position = match.end()
        if match[0][1] not in _ALONE:
            length = struct.unpack_from(">H", rest, position)[0] if position + 2 <= len(rest) else 2
            position += length
            if position > len(rest):
                return match.start()
    return None


def scans(body: bytes) -> tuple[frozenset[int], frozenset[int], bool]:
    """Of the brightness, the coefficients that were sent before the last scan, and with it; and whether all
    coefficients of all components were then sent to their last bit.
    """
    components: list[int] = []
    sent: dict[tuple[int, int], int] = {}
    before: frozenset[int] = frozenset()
    position = 2
    while match := _MARKER.search(body, position):
        marker, start = match[0][1], match.end()
        if marker in _ALONE or start + 2 > len(body):
            position = start
            continue
        segment = body[start + 2 : start + struct.unpack_from(">H", body, start)[0]]
        position = start + 2 + len(segment)
        if marker in range(0xC0, 0xD0) and marker not in {0xC4, 0xC8, 0xCC} and len(segment) > 5:
            components = [segment[6 + 3 * n] for n in range(segment[5]) if 6 + 3 * n < len(segment)]
        if marker != 0xDA or len(segment) < 4 or not components:
            continue
        before = frozenset(k for component, k in sent if component == components[0])
        count = segment[0]
        low, high, bits = segment[-3], segment[-2], segment[-1] & 15
        for component in segment[1 : 1 + 2 * count : 2]:
            sent |= {(component, k): bits for k in range(low, min(high, 63) + 1)}
    after = frozenset(k for component, k in sent if components and component == components[0])
    final = len(sent) == 64 * len(components) and not any(sent.values())
    return before, after, final


def has_scans_beyond(data: bytes, most: int) -> bool:
    """Whether its first picture is sent in more scans than that."""
    found, position = 0, 2
    while match := _MARKER.search(data, position):
        marker, position = match[0][1], match.end()
        if match[0] == EOI:
            return False
        found += marker == 0xDA
        if found > most:
            return True
        if marker not in _ALONE and position + 2 <= len(data):
            position += struct.unpack_from(">H", data, position)[0]
    return False


def ends_in_filler(image: Image.Image) -> bool:
    """Whether the last corner of a JPEG may be what its decoder shows where nothing came."""
    width, height = image.size
    corner = image.crop((max(0, width - 4), height - 1, width, height)).tobytes()
    return all(value in _GREY for value in corner)
