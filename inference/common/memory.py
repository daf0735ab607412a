"""Memory that was freed, back to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back"]


def give_back() -> None:
    """Hands over what this process has freed and kept for itself: glibc keeps all but the end of its heap.

    Takes some 20 ms, and the next allocations are dearer: for whoever has nothing to do. Elsewhere than on
    Linux with glibc nothing is done.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
