"""chrF2 (Popović, 2015) over the corpus, lower-cased, as sacrebleu computes it with its defaults, on a scale
of 0..1.

Character 1- to 6-grams without white space, recall weighed twice (beta 2), precision and recall averaged over
the orders that occur on both sides.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

__all__ = ["chrf", "chrf_counts"]

_ORDERS = 6
_FACTOR = 4.0  # beta squared


def chrf_counts(prediction: str, *references: str) -> NDArray[np.float64]:
    """Shape (18,): for n = 1..6 the n-grams predicted (0 where the reference has none), expected, and
    matched; of the reference that gives this caption the highest chrF, the first of equals.
    """
    return max((_counts(prediction, reference) for reference in references), key=lambda c: float(chrf(c)))


def _counts(prediction: str, reference: str) -> NDArray[np.float64]:
    predicted_text = "".join(prediction.lower().split())
    expected_text = "".join(reference.lower().split())
    rows = []
    for order in range(1, _ORDERS + 1):
        predicted, expected = (
            Counter(text[i : i + order] for i in range(len(text) - order + 1))
            for text in (predicted_text, expected_text)
        )
        rows.append(
            (predicted.total() if expected else 0, expected.total(), (predicted & expected).total()),
        )
    return np.array(rows, dtype=np.float64).T.reshape(-1)


def chrf(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """chrF2 in 0..1 from summed `chrf_counts` of shape (..., 18); shape (...)."""
    predicted, expected, matched = (counts[..., i * _ORDERS : (i + 1) * _ORDERS] for i in range(3))
    used = (predicted > 0) & (expected > 0)
    orders = np.maximum(1, used.sum(axis=-1))
    precision = np.where(used, matched / np.maximum(1.0, predicted), 0.0).sum(axis=-1) / orders
    recall = np.where(used, matched / np.maximum(1.0, expected), 0.0).sum(axis=-1) / orders
    denominator = _FACTOR * precision + recall
    score = (1.0 + _FACTOR) * precision * recall / np.where(denominator > 0, denominator, 1.0)
    return np.asarray(score, dtype=np.float64)
