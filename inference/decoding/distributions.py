"""Logits to log-probabilities, and the likeliest of them: what a search computes over a whole vocabulary."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.decoding.decoder import Logits, Tokens

F = TypeVar("F", np.float32, np.float64)

_BLOCK = 64  # entries whose highest tells whether to look at them at all


def log_softmax(logits: Logits) -> Logits:
    """Log-probabilities (r, V). A row with a NaN or a positive infinity is NaN from end to end."""
    with np.errstate(invalid="ignore"):  # infinity less infinity
        logprobs: Logits = logits - logits.max(-1, keepdims=True)
    logprobs -= np.log(np.exp(logprobs).sum(-1, keepdims=True))
    return logprobs


def softmax(scores: NDArray[F]) -> NDArray[F]:
    """Probabilities (..., V), over the last axis, of scores of which at least one a row is finite."""
    shares: NDArray[F] = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return shares


def top(scores: Logits, count: int) -> tuple[Logits, Tokens]:
    """The ``count`` highest of each row of scores (r, V), none of them NaN, highest first, and where they
    stand; of equal ones that which stands first. At most V of them: (r, min(count, V)) both."""
    if scores.shape[1] < _BLOCK * count:
        where = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    else:
        where = np.stack([highest(row, count) for row in scores])
    return np.take_along_axis(scores, where, 1), where


def highest(row: NDArray[np.floating[Any]], count: int) -> Tokens:
    """Where the ``count`` highest stand in a row (V,), as :func:`top` has them.

    Sorting 50,000 words for the sake of ten takes ten milliseconds, and partitioning them one.
    """
    blocks = len(row) // _BLOCK
    if blocks < count:
        return np.argsort(-row, kind="stable")[:count]
    # At least `count` entries reach the count-th highest of the blocks' own highest.
    peaks = row[: _BLOCK * blocks].reshape(_BLOCK, blocks).max(0)
    least = np.partition(peaks, blocks - count)[blocks - count]
    if least > -np.inf:
        near = np.flatnonzero(row >= least)
        return near[np.argsort(-row[near], kind="stable")[:count]]
    # So much is forbidden that nearly all scores are alike.
    near = np.flatnonzero(row > -np.inf)
    near = near[np.argsort(-row[near], kind="stable")[:count]]
    return np.concatenate([near, np.flatnonzero(np.isneginf(row))[: count - len(near)]])
