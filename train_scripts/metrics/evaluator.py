"""The one evaluator for every system: captions by picture in, a report with intervals and per-picture rows
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.common.errors import UserError
from train_scripts.metrics.bleu import bleu, bleu_counts, closest_length
from train_scripts.metrics.bootstrap import interval, resample_weights
from train_scripts.metrics.chrf import chrf, chrf_counts
from train_scripts.metrics.cider import CiderD
from train_scripts.metrics.faithfulness import ContentLemmas, content_counts
from train_scripts.metrics.meteor import Meteor
from train_scripts.metrics.quotes import quote_counts, unquoted_parts
from train_scripts.metrics.repetition import repeats_phrase
from train_scripts.metrics.rouge import rouge_l
from train_scripts.metrics.tokens import word_tokens

__all__ = [
    "MEAN",
    "MEASURES",
    "TITLES",
    "Estimate",
    "Measure",
    "Measurements",
    "References",
    "Report",
    "check",
    "evaluate",
    "finite",
    "measure",
]

Floats = NDArray[np.float64]
References = str | Sequence[str]  # of one picture


@dataclass(frozen=True, slots=True)
class Measure:
    """A score as a function of counts that add up over pictures.

    `combine` takes summed counts of shape (..., k) and gives scores of shape (...); NaN where it is not
    defined.
    """

    key: str
    title: str
    better: Literal["higher", "lower", "neither"]
    combine: Callable[[Floats], Floats]
    digits: int = 3

    def show(self, value: float, *, signed: bool = False) -> str:
        """The value as the tables print it; a dash where it is not defined."""
        if math.isnan(value):
            return "–"
        return f"{value:+.{self.digits}f}" if signed else f"{value:.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score over all pictures and its 95 % bootstrap interval; NaN where it is not defined: what is a ratio
    to nothing, CIDEr-D where references tell no picture from another, an interval of one picture.
    """

    value: float
    low: float
    high: float


def _ratio(numerator: int, denominator: int) -> Callable[[Floats], Floats]:
    def combine(counts: Floats) -> Floats:
        below = counts[..., denominator]
        return np.where(below > 0, counts[..., numerator] / np.where(below > 0, below, 1.0), np.nan)

    return combine


def _bleu(order: int) -> Callable[[Floats], Floats]:
    return lambda counts: np.where(counts[..., 9] > 0, bleu(counts, order), np.nan)


def _chrf(counts: Floats) -> Floats:
    return np.where(counts[..., 6:12].any(axis=-1), chrf(counts), np.nan)


MEAN = _ratio(0, 1)


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was counted on each picture: for each measure an array of shape (pictures, k), rows as `names`."""

    names: tuple[str, ...]
    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    counts: Mapping[Measure, Floats]

    def scores(self, measure: Measure) -> Floats:
        """The measure on each picture alone, shape (pictures,); NaN where it is not defined."""
        return measure.combine(self.counts[measure])

    def total(self, measure: Measure) -> float:
        """The measure over all pictures."""
        return float(measure.combine(self.counts[measure].sum(axis=0)))

    def resampled(self, measure: Measure, weights: Floats) -> Floats:
        """The measure over each resample, shape (resamples,); `weights` as `resample_weights` gives them. NaN
        where fewer than two pictures have it: one says nothing of how much is the luck of the pictures.
        """
        if np.count_nonzero(~np.isnan(self.scores(measure))) < 2:
            return np.full(len(weights), np.nan)
        return measure.combine(weights @ self.counts[measure])


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of one set of predictions. `estimates` is in the order of the table; keys are those of
    `MEASURES`.
    """

    pictures: int
    resamples: int
    seed: int
    estimates: Mapping[str, Estimate]
    measurements: Measurements

    def __getitem__(self, key: str) -> float:
        """The score with this key, over all pictures."""
        return self.estimates[key].value

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a picture: file_name, text, reference (several are joined by line breaks), and each measure
        on it alone (None: not defined there).
        """
        columns = {m.key: self.measurements.scores(m) for m in self.measurements.counts}
        texts = zip(
            self.measurements.names, self.measurements.predictions, self.measurements.references, strict=True
        )
        return [
            {"file_name": name, "text": prediction, "reference": "\n".join(references)}
            | {key: finite(float(column[i])) for key, column in columns.items()}
            for i, (name, prediction, references) in enumerate(texts)
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; a score that is not defined is None."""
        return {
            "pictures": self.pictures,
            "resamples": self.resamples,
            "seed": self.seed,
            "scores": {
                key: {"value": finite(e.value), "low": finite(e.low), "high": finite(e.high)}
                for key, e in self.estimates.items()
            },
        }


def finite(value: float) -> float | None:
    """The value, or None (JSON has no NaN)."""
    return value if math.isfinite(value) else None


BLEU = tuple(Measure(f"bleu{n}", f"BLEU-{n}", "higher", _bleu(n)) for n in range(1, 5))
METEOR = Measure("meteor", "METEOR", "higher", MEAN)
BLEU_SENTENCES = Measure("bleu4_sentences", "BLEU-4, sentences split", "higher", _bleu(4))
METEOR_SENTENCES = Measure("meteor_sentences", "METEOR, sentences split", "higher", MEAN)
METEOR_RUSSIAN = Measure("meteor_russian", "METEOR, Russian stems", "higher", MEAN)
ROUGE_L = Measure("rouge_l", "ROUGE-L", "higher", MEAN)
CIDER_D = Measure("cider_d", "CIDEr-D (of 10)", "higher", MEAN)
CHRF = Measure("chrf", "chrF", "higher", _chrf)
QUOTE_RECALL = Measure("quote_recall", "Quoted words, recall", "higher", _ratio(0, 2))
QUOTE_PRECISION = Measure("quote_precision", "Quoted words, precision", "higher", _ratio(0, 1))
QUOTE_CER = Measure("quote_cer", "Quoted words, character errors", "lower", _ratio(3, 4))
CONTENT_PRECISION = Measure("content_precision", "Content lemmas, precision", "higher", _ratio(0, 1))
CONTENT_RECALL = Measure("content_recall", "Content lemmas, recall", "higher", _ratio(2, 3))
CONTENT_SAID = Measure("content_said", "Content lemmas a caption", "neither", MEAN, digits=1)
LENGTH = Measure("length", "Length, tokens", "neither", MEAN, digits=1)
LENGTH_RATIO = Measure("length_ratio", "Length, times the reference's", "neither", MEAN)
REPEATED = Measure("repeated", "Phrase repeated anywhere", "lower", MEAN)
REPEATED_OUTSIDE = Measure("repeated_outside", "Phrase repeated outside quotes", "lower", MEAN)

MEASURES: tuple[Measure, ...] = (
    *BLEU,
    METEOR,
    BLEU_SENTENCES,
    METEOR_SENTENCES,
    METEOR_RUSSIAN,
    ROUGE_L,
    CIDER_D,
    CHRF,
    QUOTE_RECALL,
    QUOTE_PRECISION,
    QUOTE_CER,
    CONTENT_PRECISION,
    CONTENT_RECALL,
    CONTENT_SAID,
    LENGTH,
    LENGTH_RATIO,
    REPEATED,
    REPEATED_OUTSIDE,
)
TITLES = {measure.key: measure.title for measure in MEASURES}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def check(predictions: Mapping[str, str], references: Mapping[str, References]) -> None:
    """Raises UserError where a picture has only one of the two, or there is none."""
    if not references:
        raise UserError("There are no references: give a file with at least one.")
    missing = [name for name in references if name not in predictions]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(references)} pictures of the references have no prediction "
            f"({_some(missing)}): caption every picture, or evaluate against "
            "the references of those you captioned."
        )
    unknown = [name for name in predictions if name not in references]
    if unknown:
        raise UserError(
            f"{len(unknown)} of {len(predictions)} predictions are of pictures without a reference "
            f"({_some(unknown)}): evaluate against the references they were made for."
        )


def _with_words(references: tuple[str, ...]) -> tuple[str, ...]:
    """Without those that are empty, where there are others."""
    return tuple(text for text in references if text.strip()) or references


def _best(
    score: Callable[..., float], pairs: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]]
) -> Floats:
    """For a mean of what `score` gives; not defined where no reference holds a token."""
    return _per_picture([score(p, *rs) if any(rs) else math.nan for p, rs in pairs])


def _per_picture(values: Sequence[float]) -> Floats:
    """For a mean; pictures whose value is NaN have no part in it."""
    column = np.array(values, dtype=np.float64)
    defined = ~np.isnan(column)
    return np.stack([np.where(defined, column, 0.0), defined.astype(np.float64)], axis=1)


def measure(
    predictions: Mapping[str, str],
    references: Mapping[str, References],
    extra: Mapping[Measure, Mapping[str, float]] | None = None,
) -> Measurements:
    """Counts everything on each picture, in the order of the references. See `evaluate`."""
    check(predictions, references)
    names = tuple(references)
    texts = tuple(predictions[name] for name in names)
    wanted = tuple(_with_words((r,) if isinstance(r, str) else tuple(r)) for r in references.values())
    if not all(wanted):
        raise UserError(f"{names[wanted.index(())]} has no reference: give every picture at least one.")
    both = list(zip(texts, wanted, strict=True))
    pairs = [(word_tokens(p), [word_tokens(r) for r in rs]) for p, rs in both]
    split = [(word_tokens(p, "sentences"), [word_tokens(r, "sentences") for r in rs]) for p, rs in both]

    meteor, meteor_russian = Meteor(), Meteor(russian=True)
    cider = CiderD([rs for _, rs in pairs])
    lemmas = ContentLemmas()
    content = [(lemmas.of(p), [lemmas.of(r) for r in rs]) for p, rs in both]

    bleu_table = np.stack([bleu_counts(p, *rs) for p, rs in pairs])
    quotes = np.stack([quote_counts(p, *rs) for p, rs in both])
    contents = np.stack([content_counts(p, *rs) for p, rs in content])
    counts: dict[Measure, Floats] = {
        **dict.fromkeys(BLEU, bleu_table),
        METEOR: _best(meteor.score, pairs),
        BLEU_SENTENCES: np.stack([bleu_counts(p, *rs) for p, rs in split]),
        METEOR_SENTENCES: _best(meteor.score, split),
        METEOR_RUSSIAN: _best(meteor_russian.score, pairs),
        ROUGE_L: _best(rouge_l, pairs),
        CIDER_D: _per_picture([cider.score(p, *rs) for p, rs in pairs]),
        CHRF: np.stack([chrf_counts(p, *rs) for p, rs in both]),
        QUOTE_RECALL: quotes,
        QUOTE_PRECISION: quotes,
        QUOTE_CER: quotes,
        CONTENT_PRECISION: contents,
        CONTENT_RECALL: contents,
        CONTENT_SAID: _per_picture([len(said) for said, _ in content]),
        LENGTH: _per_picture([len(p) for p, _ in pairs]),
        LENGTH_RATIO: np.array([[len(p), closest_length(p, rs)] for p, rs in pairs], dtype=np.float64),
        REPEATED: _per_picture([float(repeats_phrase([text])) for text in texts]),
        REPEATED_OUTSIDE: _per_picture([float(repeats_phrase(unquoted_parts(text))) for text in texts]),
    }
    more = {m: _per_picture([values[name] for name in names]) for m, values in (extra or {}).items()}
    return Measurements(names, texts, wanted, {m: counts[m] for m in MEASURES} | more)


def evaluate(
    predictions: Mapping[str, str],
    references: Mapping[str, References],
    *,
    resamples: int = 1000,
    seed: int = 0,
    extra: Mapping[Measure, Mapping[str, float]] | None = None,
) -> Report:
    """Scores captions against the references of their pictures.

    `predictions`: caption by file name; `references`: one or several texts by file name; both must name the
    same pictures. `resamples`: of the seeded bootstrap behind the 95 % intervals, at least 1. `extra`:
    further measures that are means, with their value on each picture (NaN: none). Scores are in 0..1, but for
    CIDEr-D (0..10) and the lengths.

    Raises UserError when a picture has only one of the two, or there is none.
    """
    measurements = measure(predictions, references, extra)
    weights = resample_weights(len(measurements.names), resamples, seed)
    estimates = {
        m.key: Estimate(measurements.total(m), *interval(measurements.resampled(m, weights)))
        for m in measurements.counts
    }
    return Report(len(measurements.names), resamples, seed, estimates, measurements)
