"""Which token is next, where one is chosen for each row by itself: the likeliest, or one that is drawn."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import torch
from torch import Tensor

from inference.common.types import DecodingOptions


def argmax(logprobs: Tensor) -> Tensor:
    """The likeliest token (n,) of each row of log-probabilities (n, V)."""
    return logprobs.argmax(-1)


def seeds_of(options: DecodingOptions, seeds: Sequence[int] | None, n: int) -> list[int]:
    """A seed for each of n pictures: those given, else that of the options for all, else new ones.

    Raises ValueError when there are not n of them.
    """
    if seeds is not None:
        if len(seeds) != n:
            raise ValueError(f"Give one seed for each of the {n} pictures, not {len(seeds)}.")
        return list(seeds)
    return [options.seed if options.seed is not None else secrets.randbits(63) for _ in range(n)]


class Sampler:
    """Draws one token a row from log-probabilities (n, V), each row by its own generator."""

    def __init__(self, options: DecodingOptions, seeds: Sequence[int]) -> None:
        self.options = options
        # On the CPU always: the same seed must draw the same caption on every device.
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logprobs: Tensor) -> Tensor:
        options = self.options
        scores = logprobs.double().cpu() / options.temperature
        if 0 < options.top_k < scores.shape[1]:
            least = scores.topk(options.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        if options.top_p < 1:
            ordered, order = scores.sort(descending=True, stable=True)
            mass = ordered.softmax(-1)
            outside = mass.cumsum(-1) - mass >= options.top_p  # the likeliest token is never outside
            scores = scores.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), float("-inf"))
        mass = scores.softmax(-1)
        draws = torch.cat([torch.rand(1, 1, dtype=torch.double, generator=g) for g in self.generators])
        cumulative = mass.cumsum(-1)
        token = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0]
        # A draw that rounds up to the whole mass would point behind the last token that has any.
        last = mass.shape[1] - 1 - (mass > 0).flip(1).int().argmax(-1)
        return torch.minimum(token, last).to(logprobs.device)
