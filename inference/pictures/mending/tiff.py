"""TIFF: the tags of its first page."""

from __future__ import annotations

import struct

_ORDERS = {b"II": "<", b"MM": ">"}
# Tags of a baseline picture, its strips or tiles, colours and compression.
_NEEDED = frozenset(
    {*range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, *range(322, 326), 332}
    | {*range(338, 342), 347, *range(512, 516), *range(517, 522), *range(529, 533)}
)


def tidy(data: bytes) -> bytes | None:
    """Its first page with the tags alone that its pixels need; None when these cannot be found."""
    tags = _tags(data)
    if not tags:
        return None
    kept = b"".join(data[at : at + 12] for tag, at in tags if tag in _NEEDED)
    start = tags[0][1] - 2
    # In its place, so that the pixels end where they did; no page follows.
    table = struct.pack(f"{_ORDERS[data[:2]]}H", len(kept) // 12) + kept + bytes(4)
    return data[:start] + table + data[start + len(table) :]


def without_orientation(data: bytes) -> bytes:
    """A TIFF that says of itself that it is upright: whoever decodes it does not turn it."""
    tags = _tags(data)
    at = next((at for tag, at in tags or () if tag == 0x0112), None)
    if at is None:
        return data
    upright = struct.pack(f"{_ORDERS[data[:2]]}HHIHH", 0x0112, 3, 1, 1, 0)
    return data[:at] + upright + data[at + 12 :]


def _tags(data: bytes) -> list[tuple[int, int]] | None:
    """The tags of the first page, and where their entries stand."""
    order = _ORDERS.get(data[:2])
    if order is None or len(data) < 8:
        return None
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    if start + 2 > len(data):
        return None
    count = struct.unpack_from(f"{order}H", data, start)[0]
    entries = range(start + 2, start + 2 + 12 * count, 12)
    if entries.stop > len(data):
        return None
    return [(struct.unpack_from(f"{order}H", data, at)[0], at) for at in entries]
