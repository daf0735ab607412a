"""What a process sets before it trains on a processor, for speed alone."""

from __future__ import annotations

import ctypes
import os

import torch

__all__ = ["set_up_process"]


def set_up_process() -> None:
    """To be called before there is a tensor, when torch reads the environment, and before it starts threads,
    which take over how tiny numbers are treated."""
    # Pages of 2 MB for large tensors, where the system allows it (torch's pull request 107697).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
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
