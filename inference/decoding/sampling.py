"""Which token is next, where one is chosen for each row by itself: the likeliest, or one that is drawn."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.common.types import DecodingOptions
from inference.decoding.decoder import Logits, Tokens
from inference.decoding.distributions import highest

_BLOCK = 64  # entries that are summed before it is known which of them is drawn
_FEW = 256  # tokens that nearly always hold the mass asked for; to sort a whole vocabulary takes long


class Choice(Protocol):
    """One token of each row of scores (n, V), log-probabilities up to a constant, for their ``place`` in the
    sentence, from 0. Asked again it says the same."""

    def __call__(self, scores: Logits, place: int) -> Tokens:
        """The tokens (n,)."""

    def lead(self, scores: Logits) -> float:
        """By how much the token of one row (1, V) leads the next; infinity where more than that decides."""


class Likeliest:
    """Of equal ones the first."""

    def __call__(self, scores: Logits, place: int) -> Tokens:  # noqa: ARG002 - see Choice
        """See :class:`Choice`."""
        chosen: Tokens = scores.argmax(-1)
        return chosen

    def lead(self, scores: Logits) -> float:
        """See :class:`Choice`."""
        (row,) = scores
        first = int(row.argmax())
        others = (part.max(initial=-np.inf) for part in (row[:first], row[first + 1 :]))
        return float(row[first] - max(others))


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
    """Draws one token a row, each row by its own generator.

    The same seed (of 64 bits; a negative one counts from their end) draws the same on every machine.
    """

    def __init__(self, options: DecodingOptions, seeds: Sequence[int]) -> None:
        self.options = options
        # By its name: numpy may choose another one for those who do not.
        generators = (np.random.Generator(np.random.PCG64(seed % 2**64)) for seed in seeds)
        # All of a sentence at once: what is drawn at a place does not depend on what was asked before.
        self._shares = [generator.random(options.max_tokens).tolist() for generator in generators]

    def __call__(self, scores: Logits, place: int) -> Tokens:
        """See :class:`Choice`."""
        pairs = zip(scores, self._shares, strict=True)
        return np.array([self._draw(row, shares[place]) for row, shares in pairs], np.int64)

    def lead(self, scores: Logits) -> float:  # noqa: ARG002 - see Choice
        """See :class:`Choice`: a draw is decided by all that stand before it."""
        return np.inf

    def _draw(self, row: NDArray[np.float32], share: float) -> int:
        options = self.options
        scores = row.astype(np.float64)
        if options.temperature != 1:
            scores /= options.temperature
        if 0 < options.top_k < len(scores):
            least = np.partition(scores, -options.top_k)[-options.top_k]
            scores[scores < least] = -np.inf
        # From here on in place: a vocabulary in float64 is larger than the nearest cache.
        scores -= scores.max()
        mass = np.exp(scores, out=scores)
        if options.top_p < 1:
            kept = _nucleus(mass, options.top_p * mass.sum())
            whole, mass = mass, np.zeros_like(mass)
            mass[kept] = whole[kept]
        return _drawn(mass, share)


def _drawn(mass: NDArray[np.float64], share: float) -> int:
    """The entry at which the running sum of ``mass`` (V,) passes the ``share``, 0..1 without 1, of all of it.

    Found by blocks: the running sum over a whole vocabulary took longer than all else of a draw.
    """
    blocks = np.add.reduceat(mass, np.arange(0, len(mass), _BLOCK)).cumsum()
    wanted = share * blocks[-1]
    block = _passing(blocks, wanted)
    within = mass[_BLOCK * block : _BLOCK * (block + 1)].cumsum()
    return _BLOCK * block + _passing(within, wanted - (blocks[block - 1] if block else 0))


def _passing(cumulative: NDArray[np.float64], wanted: float) -> int:
    """Where a running sum exceeds what is wanted; where that was rounded up to all there is, the last entry
    that added anything."""
    return int(min(cumulative.searchsorted(wanted, side="right"), cumulative.searchsorted(cumulative[-1])))


def _nucleus(mass: NDArray[np.float64], p: float) -> Tokens:
    """The fewest tokens whose shares ``mass`` (V,) add up to ``p``, likeliest first; at least one."""
    order = highest(mass, _FEW)
    if mass[order].sum() < p:
        order = highest(mass, len(mass))
    before = mass[order].cumsum() - mass[order]
    return order[before < p]
