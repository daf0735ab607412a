"""CIDEr-D (Vedantam et al., 2015), as coco-caption's `ciderD` computes it: on coco-caption's scale (times
10).

TF-IDF vectors of 1- to 4-grams; the document frequencies are those of the references scored against. Where
the references tell no picture from another, as with one picture or with the same reference for all, every
weight is log(1) = 0: CIDEr-D is not defined there (coco-caption writes 0).
Its length penalty (sigma of 6 tokens) was made for one-sentence captions: descriptions of sixty words score
low.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from train_scripts.metrics.bleu import ngram_counts

__all__ = ["CiderD"]

_ORDERS = range(1, 5)
_SIGMA = 6.0
_SCALE = 10.0

_Ngram = tuple[str, ...]


class CiderD:
    """Holds the document frequencies of a set of references: for each picture one or several lists of
    tokens.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]) -> None:
        self._pictures_with: Counter[_Ngram] = Counter()
        for of_picture in references:
            for order in _ORDERS:
                self._pictures_with.update({g for tokens in of_picture for g in ngram_counts(tokens, order)})
        self._log_pictures = math.log(max(1, len(references)))
        self._tells_apart = any(count < len(references) for count in self._pictures_with.values())

    def _vector(self, tokens: Sequence[str], order: int) -> dict[_Ngram, float]:
        return {
            ngram: count * (self._log_pictures - math.log(max(1, self._pictures_with[ngram])))
            for ngram, count in ngram_counts(tokens, order).items()
        }

    def score(self, prediction: Sequence[str], *references: Sequence[str]) -> float:
        """CIDEr-D of one caption's tokens, 0..10: the mean over its references; NaN where it is not
        defined.
        """
        if not self._tells_apart:
            return math.nan
        return sum(self._score(prediction, reference) for reference in references) / len(references)

    def _score(self, prediction: Sequence[str], reference: Sequence[str]) -> float:
        total = 0.0
        for order in _ORDERS:
            predicted, expected = self._vector(prediction, order), self._vector(reference, order)
            norm = math.hypot(*predicted.values()) * math.hypot(*expected.values())
            if norm > 0:
                # Clipped: repeating a phrase more often than the reference does gains nothing.
                total += (
                    sum(min(w, expected.get(g, 0.0)) * expected.get(g, 0.0) for g, w in predicted.items())
                    / norm
                )
        difference = len(prediction) - len(reference)
        return _SCALE * total / len(_ORDERS) * math.exp(-(difference**2) / (2 * _SIGMA**2))
