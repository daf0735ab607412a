"""Is the student worse than its parent? Asked after every epoch, and again before it is promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from train_scripts.feedback.pictures import Picture, batches
from train_scripts.feedback.students import Student
from train_scripts.metrics.chrf import chrf, chrf_counts
from train_scripts.metrics.comparison import Comparison, compare
from train_scripts.metrics.evaluator import MEASURES, evaluate

GUARDED = ("quote_recall", "quote_precision", "content_precision", "content_recall", "repeated_outside")
"""Measures that must not get worse beside the chosen one, which weighs all words alike. Who cannot see the
picture needs all of the words on it and no others, no fewer things than before and nothing that is not there,
and hears a stutter of the decoder as often as it is written."""


_ROUNDING = 1e-9  # an interval of no width may lie above its value by so much
_UNHEARD = 0.01  # of A's score: on the same pictures chance explains so little that less is certain too


def worse(scores: Mapping[str, Mapping[str, Any]], measure: str) -> list[str]:
    """The guarded measures in which B is worse than A by more than chance and a hundredth explain (the whole
    95 % interval of the difference lies beyond); ``scores`` of Comparison.to_dict().
    """
    found = []
    for one in MEASURES:
        score = scores[one.key]
        if one.key in {measure, *GUARDED} and score["better"] == "A":
            certain = -score["high"] if one.better == "higher" else score["low"]
            if certain > _UNHEARD * abs(score["a"]):
                found.append(one.title)
    return found


def fallen(floors: Mapping[str, float], values: Mapping[str, float]) -> list[str]:
    """Titles of the scores that lie below their floors; both by keys of measures."""
    return [one.title for one in MEASURES if values.get(one.key, inf) < floors.get(one.key, -inf) - _ROUNDING]


@dataclass
class Judge:
    """Holds what the parent says; ``val`` and ``references`` are never trained on."""

    measure: str  # key of the deciding measure
    val: Sequence[Picture]
    references: Mapping[str, str]
    feedback: Sequence[Picture]  # the corrected pictures
    corrections: Mapping[str, str]
    parent_val: dict[str, str] = field(default_factory=dict)
    parent_feedback: dict[str, str] = field(default_factory=dict)
    # By key, for all measures of which more is better: the lower ends of the parent's own intervals.
    floors: dict[str, float] = field(default_factory=dict)

    def hear(self, parent: Student) -> None:
        """What the parent says of all pictures."""
        self.parent_val = say(parent, self.val)
        self.parent_feedback = say(parent, self.feedback)
        estimates = evaluate(self.parent_val, self.references).estimates
        self.floors = {one.key: estimates[one.key].low for one in MEASURES if one.better == "higher"}

    def judge(self, student: Student) -> Verdict:
        """Student against parent on val, and how near both are to the corrections."""
        said = say(student, self.val)
        told = say(student, self.feedback)
        comparison = compare(self.parent_val, said, self.references)
        values = {key: one.b for key, one in comparison.differences.items()}
        reasons = [
            *worse(comparison.to_dict()["scores"], self.measure),
            *fallen(self.floors, values),
        ]
        return Verdict(
            said,
            told,
            comparison,
            values[self.measure],
            near(told, self.corrections),
            tuple(dict.fromkeys(reasons)),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """``value``: the deciding measure on val. ``nearness``: chrF of the captions against the corrections,
    0..1 (NaN without corrections). ``worse``: titles of the guarded measures that fell beyond chance, and of
    all that fell below their floors.
    """

    val: Mapping[str, str]
    feedback: Mapping[str, str]
    comparison: Comparison
    value: float
    nearness: float
    worse: tuple[str, ...]


def say(student: Student, pictures: Sequence[Picture]) -> dict[str, str]:
    """What the student would answer, by file name."""
    said: dict[str, str] = {}
    for batch in batches(pictures):
        texts = student.captions([one.image for one in batch], [one.reading for one in batch])
        said.update(zip((one.name for one in batch), texts, strict=True))
    return said


def near(said: Mapping[str, str], corrections: Mapping[str, str]) -> float:
    """chrF over all corrected pictures, 0..1; NaN where there are none."""
    counts = [chrf_counts(said[name], text) for name, text in corrections.items()]
    return float(chrf(np.sum(counts, axis=0))) if counts else float("nan")
