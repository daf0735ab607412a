"""GIF: its blocks and its first frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Frame:
    control: slice  # its control block; empty: there is none
    start: int
    end: int


def tidy(data: bytes) -> bytes | None:
    """The first frame, twice where others followed, without comments; None when there is none."""
    frame = _frame(data, _tables(data))
    if frame is None:
        return None
    first = data[frame.control] + data[frame.start : frame.end]
    if frame.end == len(data):  # it may have been cut: left open, so that this shows
        return data[: _tables(data)] + first
    more = _frame(data, frame.end) is not None
    return data[: _tables(data)] + first * (2 if more else 1) + b";"


def without_transparency(data: bytes) -> bytes:
    """The file with a first frame that is opaque."""
    frame = _frame(data, _tables(data))
    if frame is None or not data[frame.control]:
        return data
    at = frame.control.start + 3
    return data[:at] + bytes([data[at] & 0xFE]) + data[at + 1 :]


def _tables(data: bytes) -> int:
    """Where the header and the common palette end."""
    return 13 + (3 << ((data[10] & 7) + 1) if len(data) > 13 and data[10] & 0x80 else 0)


def _frame(data: bytes, position: int) -> _Frame | None:
    """The next frame from a position on."""
    control = slice(0, 0)
    while position + 10 <= len(data):
        if data[position] == 0x21:
            end = _data_end(data, position + 2)
            if data[position + 1] == 0xF9:
                control = slice(position, end)
            position = end
        elif data[position] == 0x2C:
            packed = data[position + 9]
            palette = 3 << ((packed & 7) + 1) if packed & 0x80 else 0
            return _Frame(control, position, _data_end(data, position + 11 + palette))
        else:
            position += 1
    return None


def _data_end(data: bytes, position: int) -> int:
    """Where the sub-blocks that begin at a position end."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return min(position + 1, len(data))
