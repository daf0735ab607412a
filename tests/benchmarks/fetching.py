"""What the memory of this machine allows, beside what a search takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from tests.benchmarks.measure import MEGABYTE

_TIMES = 9


def fetched(weights: Mapping[str, Tensor]) -> str:
    """How long these take from the memory to the processor, which no exact token undercuts: their sum is
    taken, which is less work than any product with them. A tensor that has two names is read once."""
    parts = {tensor.data_ptr(): tensor for tensor in weights.values() if tensor.is_floating_point()}
    seconds = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        for tensor in parts.values():
            tensor.sum()
        seconds.append(time.perf_counter() - started)
    size = sum(tensor.nbytes for tensor in parts.values()) / MEGABYTE
    milliseconds = 1000 * statistics.median(seconds)
    return (
        f"To fetch the {size:.0f} MB of weights from memory once takes {milliseconds:.2f} ms "
        f"({torch.get_num_threads()} threads)."
    )
