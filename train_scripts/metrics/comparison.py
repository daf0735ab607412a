"""Two systems on the same pictures: the paired bootstrap (Koehn, 2004)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from train_scripts.metrics.bootstrap import interval, resample_weights
from train_scripts.metrics.evaluator import (
    Estimate,
    Floats,
    Measure,
    Measurements,
    References,
    finite,
    measure,
)

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of both systems; `difference` is B minus A with its 95 % interval, `p` two-sided, 0..1."""

    measure: Measure
    a: float
    b: float
    difference: Estimate
    p: float

    @property
    def verdict(self) -> Literal["A", "B", "neither"]:
        """Which system is better; "neither" when the interval holds 0 or the measure has no better side."""
        low, high = self.difference.low, self.difference.high
        if self.measure.better == "neither" or not (low > 0 or high < 0):
            return "neither"
        return "B" if (low > 0) == (self.measure.better == "higher") else "A"


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A. `differences` is in the order of the table."""

    pictures: int
    resamples: int
    seed: int
    differences: Mapping[str, Difference]
    a: Measurements
    b: Measurements

    def rows(self, key: str) -> list[dict[str, Any]]:
        """One row a picture with both captions and the measure `key` on each, the largest gain of B first.

        Pictures where the measure is not defined for both stand at the end with None. Raises KeyError.
        """
        chosen = self.differences[key].measure
        scores_a, scores_b = self.a.scores(chosen), self.b.scores(chosen)
        gain = scores_b - scores_a if chosen.better != "lower" else scores_a - scores_b
        order = np.argsort(np.where(np.isnan(gain), np.inf, -gain), kind="stable")
        return [
            {
                "file_name": self.a.names[i],
                "reference": "\n".join(self.a.references[i]),
                "a": self.a.predictions[i],
                "b": self.b.predictions[i],
                f"{key}_a": finite(float(scores_a[i])),
                f"{key}_b": finite(float(scores_b[i])),
                "gain": finite(float(gain[i])),
            }
            for i in order
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; a score that is not defined is None."""
        return {
            "pictures": self.pictures,
            "resamples": self.resamples,
            "seed": self.seed,
            "scores": {
                key: {
                    "a": finite(d.a),
                    "b": finite(d.b),
                    "difference": finite(d.difference.value),
                    "low": finite(d.difference.low),
                    "high": finite(d.difference.high),
                    "p": finite(d.p),
                    "better": d.verdict,
                }
                for key, d in self.differences.items()
            },
        }


def _p_value(differences: Floats) -> float:
    """Two-sided: twice the smaller share of resamples on one side of 0; one is added, so it is never 0."""
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return float("nan")
    below, above = int((defined <= 0).sum()), int((defined >= 0).sum())
    return min(1.0, 2.0 * (min(below, above) + 1) / (len(defined) + 1))


def compare(
    a: Mapping[str, str],
    b: Mapping[str, str],
    references: Mapping[str, References],
    *,
    resamples: int = 1000,
    seed: int = 0,
    extra_a: Mapping[Measure, Mapping[str, float]] | None = None,
    extra_b: Mapping[Measure, Mapping[str, float]] | None = None,
) -> Comparison:
    """Scores both systems on the same pictures and the same resamples of them.

    `a`, `b`: caption by file name; `references`: one or several texts by file name; all three must name the
    same pictures. `extra_a`, `extra_b`: the same further measures of both, as `evaluate` takes them. Raises
    UserError.
    """
    measured_a, measured_b = measure(a, references, extra_a), measure(b, references, extra_b)
    weights = resample_weights(len(measured_a.names), resamples, seed)
    differences = {}
    for each in measured_a.counts:
        resampled = measured_b.resampled(each, weights) - measured_a.resampled(each, weights)
        total_a, total_b = measured_a.total(each), measured_b.total(each)
        differences[each.key] = Difference(
            each, total_a, total_b, Estimate(total_b - total_a, *interval(resampled)), _p_value(resampled)
        )
    return Comparison(len(measured_a.names), resamples, seed, differences, measured_a, measured_b)
