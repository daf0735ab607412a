"""What a sampled caption is worth: the scores that one caption has by itself, weighed and added."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from train_scripts.metrics.bleu import bleu_counts, smoothed_bleu
from train_scripts.metrics.cider import CiderD
from train_scripts.metrics.faithfulness import ContentLemmas, content_counts
from train_scripts.metrics.meteor import Meteor
from train_scripts.metrics.repetition import repeats_phrase
from train_scripts.metrics.rouge import rouge_l
from train_scripts.metrics.tokens import word_tokens

__all__ = ["REWARDS", "Rewards"]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A text as the scores count it."""

    text: str
    tokens: list[str]
    lemmas: frozenset[str]


class _Scores:
    """Each method: a caption and its references to one number."""

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]) -> None:
        self._references = references

    @cached_property
    def _cider(self) -> CiderD:
        return CiderD(self._references)

    @cached_property
    def _meteor(self) -> Meteor:
        return Meteor()

    def bleu4(self, said: _Cut, wanted: Sequence[_Cut]) -> float:
        """0..1."""
        return float(smoothed_bleu(bleu_counts(said.tokens, *(one.tokens for one in wanted)), 4))

    def meteor(self, said: _Cut, wanted: Sequence[_Cut]) -> float:
        """0..1."""
        return self._meteor.score(said.tokens, *(one.tokens for one in wanted))

    def rouge_l(self, said: _Cut, wanted: Sequence[_Cut]) -> float:
        """0..1."""
        return rouge_l(said.tokens, *(one.tokens for one in wanted))

    def cider_d(self, said: _Cut, wanted: Sequence[_Cut]) -> float:
        """0..10; 0 where the references tell no picture from another."""
        score = self._cider.score(said.tokens, *(one.tokens for one in wanted))
        return 0.0 if math.isnan(score) else score

    def content_right(self, said: _Cut, wanted: Sequence[_Cut]) -> float:
        """How many of its content lemmas a reference has."""
        return float(content_counts(said.lemmas, *(one.lemmas for one in wanted))[0])

    def content_wrong(self, said: _Cut, wanted: Sequence[_Cut]) -> float:
        """How many of its content lemmas no reference has."""
        known, every, _, _ = content_counts(said.lemmas, *(one.lemmas for one in wanted)).tolist()
        return float(every - known)

    def repeated(self, said: _Cut, wanted: Sequence[_Cut]) -> float:  # noqa: ARG002 - as the others
        """1 where a phrase of four words comes twice."""
        return float(repeats_phrase([said.text]))


_Score = Callable[[_Scores, _Cut, Sequence[_Cut]], float]
REWARDS: Mapping[str, _Score] = {
    "bleu4": _Scores.bleu4,
    "meteor": _Scores.meteor,
    "rouge_l": _Scores.rouge_l,
    "cider_d": _Scores.cider_d,
    "content_right": _Scores.content_right,
    "content_wrong": _Scores.content_wrong,
    "repeated": _Scores.repeated,
}
"""By the names that a recipe weighs them by."""


class Rewards:
    """``weights``: of each score, of any sign; ``references``: every caption of each picture, by any name.

    With the weights a of ``content_right`` and -b of ``content_wrong``, a thing is worth saying where it is
    in the reference with a probability above b / (a + b): a threshold for what is said, that is learnt.
    """

    def __init__(self, weights: Mapping[str, float], references: Mapping[str, Sequence[str]]) -> None:
        self._weights = weights
        self._lemmas = ContentLemmas()
        self._wanted = {name: [self._cut(text) for text in texts] for name, texts in references.items()}
        self._scores = _Scores([[one.tokens for one in texts] for texts in self._wanted.values()])

    def _cut(self, text: str) -> _Cut:
        return _Cut(text, word_tokens(text), self._lemmas.of(text))

    def __call__(self, texts: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
        """(n,): what each caption is worth, of the picture of that name."""
        return np.array([self._one(text, name) for text, name in zip(texts, names, strict=True)])

    def _one(self, text: str, name: str) -> float:
        said, wanted = self._cut(text), self._wanted[name]
        return sum(weight * REWARDS[key](self._scores, said, wanted) for key, weight in self._weights.items())
