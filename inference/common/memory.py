"""Memory that was freed, back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

__all__ = ["give_back", "given_back_by", "kept"]

_further: list[Callable[[], None]] = []  # of libraries that keep memory of their own


class _Mallinfo2(ctypes.Structure):
    """glibc's ``struct mallinfo2`` (malloc.h), of which the bytes that are free are asked for."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def kept() -> int:
    """Bytes that this process has freed and kept for itself; 0 where the C library does not tell."""
    told = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if told is None:
        return 0
    told.restype = _Mallinfo2
    return int(told().fordblks)


def given_back_by(release: Callable[[], None]) -> None:
    """Have :func:`give_back` call ``release`` first, which frees what a library keeps for itself."""
    _further.append(release)


def give_back() -> None:
    """Hands over what this process has freed and kept for itself: glibc keeps all but the end of its heap.

    Takes some 20 ms, and the next allocations are dearer: for whoever has nothing to do. Elsewhere than on
    Linux with glibc only what libraries keep is freed.
    """
    for release in _further:
        release()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
