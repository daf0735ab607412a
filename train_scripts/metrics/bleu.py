"""BLEU (Papineni et al., 2002) from counts that add up over pictures, so that a bootstrap is one matrix
product.

Equal to `nltk.translate.bleu_score.corpus_bleu` without smoothing, with its two habits: a caption shorter
than n tokens counts one n-gram in the denominator, and the brevity penalty is taken over the corpus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bleu", "bleu_counts", "closest_length", "ngram_counts", "smoothed_bleu"]

ORDERS = 4


def ngram_counts(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram of `order` tokens occurs."""
    return Counter(zip(*(tokens[i:] for i in range(order)), strict=False))


def closest_length(prediction: Sequence[str], references: Sequence[Sequence[str]]) -> int:
    """The length in tokens of the reference whose length is nearest to the prediction's, the shorter of two
    equally near.
    """
    return min((abs(len(reference) - len(prediction)), len(reference)) for reference in references)[1]


def bleu_counts(prediction: Sequence[str], *references: Sequence[str]) -> NDArray[np.float64]:
    """Shape (10,): for n = 1..4 the clipped matches, for n = 1..4 the n-grams predicted, both lengths in
    tokens.

    With several references an n-gram counts as often as in the one that has it most; the length is the
    closest one.
    """
    matches, totals = [], []
    for order in range(1, ORDERS + 1):
        predicted = ngram_counts(prediction, order)
        expected: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            expected |= ngram_counts(reference, order)
        matches.append((predicted & expected).total())
        totals.append(max(1, predicted.total()))
    lengths = [len(prediction), closest_length(prediction, references)]
    return np.array([*matches, *totals, *lengths], dtype=np.float64)


def bleu(counts: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """BLEU-`order` in 0..1 with even weights, from summed `bleu_counts` of shape (..., 10); shape (...)."""
    matches, totals = counts[..., :order], counts[..., ORDERS : ORDERS + order]
    predicted, reference = counts[..., 8], counts[..., 9]
    with np.errstate(divide="ignore", invalid="ignore"):
        # One order without a match makes the geometric mean 0; nltk gives about 1e-77 there, with a warning.
        log_precision = np.log(matches / totals).mean(axis=-1)
        log_penalty = np.minimum(0.0, 1.0 - reference / predicted)
        score = np.exp(log_precision + log_penalty)
    return np.where((predicted > 0) & (matches.min(axis=-1) > 0), score, 0.0)


def smoothed_bleu(counts: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """:func:`bleu` with one match more of each order above 1 (Lin and Och 2004, ORANGE): of a single caption,
    which seldom has four words in a row right.
    """
    more = np.zeros(counts.shape[-1])
    more[1:order] = more[ORDERS + 1 : ORDERS + order] = 1
    return bleu(counts + more, order)
