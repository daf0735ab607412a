"""What a process sets before it trains on a processor, for speed alone."""

from __future__ import annotations

import ctypes

import torch

__all__ = ["set_up_process"]


def set_up_process() -> None:
    """To be called before torch starts its threads: they take over how tiny numbers are treated."""
    # Gradients of the first words of a long caption are below 1e-38, where a processor is slower.
    torch.set_flush_denormal(True)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc to keep what training frees: half the time went into getting the same pages again."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
