"""Which lines belong to the picture's message.

Most of what is recognised is what the picture says, some of it is a watermark, the time of a message, specks
taken for letters. A small network, trained on the words that people quoted from real memes
(``python -m train_scripts line-scorer``), gives each line the probability that a person would quote it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from inference.common.interpreter import PYTHON
from inference.reading.accounts import is_name
from inference.reading.candidates import Candidate, pieces, trimmed
from inference.reading.geometry import distance
from inference.reading.words import Word
from inference.russian.lexicon import bare, is_known, script
from inference.russian.lists import LISTS
from inference.russian.patterns import alternatives

Floats = npt.NDArray[np.float64]

SCORER_FILE = Path(__file__).with_name("line_scorer.json")

_SITES = LISTS.sites
_CLOCK = re.compile(rf"\d{{1,2}}[:.]\d{{2}}|20\d\d|\d{{1,2}} {alternatives(_SITES.months)}", re.IGNORECASE)
_FURNITURE = re.compile(
    rf"\d\s*(?:{alternatives(_SITES.units)}\s*|k\s*)?(?:{alternatives(_SITES.reactions)}|retweets?|likes?)\b"
    rf"|^\W*(?:\d+ )?(?:{alternatives(_SITES.ago)}|{alternatives(_SITES.links)})\W*$"
    r"|twitter (?:for|web)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[@/_]|\w\.(?:com|ru|net|org|me|tv|info)\b|www", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scored:
    """The lines that the words on one picture of ``size`` (width, height in pixels) make, and of each the
    probability (0..1) that a person would quote it. ``quoted``: the numbers of those that are likely enough;
    ``pieces``: the same lines and others, with their specks.
    """

    size: tuple[int, int]
    pieces: Sequence[Sequence[Word]]
    lines: Sequence[Candidate]
    scores: Sequence[float]
    quoted: Sequence[int]


def scored(words: Sequence[Word], size: tuple[int, int]) -> Scored:
    """The lines of some words, scored."""
    parts = pieces(words, size)
    lines = trimmed(parts)
    scores = quotable(lines, size)
    least = load_scorer().threshold
    return Scored(size, parts, lines, scores, [n for n, score in enumerate(scores) if score >= least])


def quotable(lines: Sequence[Candidate], size: tuple[int, int]) -> list[float]:
    """Of each line the probability (0..1) that a person would quote it."""
    if not lines:
        return []
    scores = load_scorer().probabilities(features(lines, size))
    return [
        0.0 if is_furniture(line.text) or is_name(line, lines) else float(score)
        for line, score in zip(lines, scores, strict=True)
    ]


def is_furniture(text: str) -> bool:
    """Whether a line is no message: marks alone, or what a site writes under every post."""
    said = any(character.isalnum() or character in "?!…" for character in text) or "..." in text
    return not said or bool(_FURNITURE.search(text))


FEATURES = (
    "bias",
    "confidence mean",
    "confidence min",
    "confidence of letters",
    "log words",
    "log letters",
    "share of letters and digits",
    "share of known words",
    "share of letters in known words",
    "share of mixed words",
    "share of words of one or two letters",
    "mean word length",
    "log height",
    "height by the tallest",
    "height by the median",
    "width",
    "off the middle",
    "left",
    "middle height",
    "to the upper or lower edge",
    "log lines",
    "mean confidence of the picture",
    "no known word",
    "latin",
    "latin beyond the picture's",
    "capital inside words",
    "digits",
    "time or date",
    "address",
    "gap to the nearest line",
    "lines alike near by",
    "share of the picture's letters",
    "lines above",
    "lines below",
    "known and confident",
)


def features(lines: Sequence[Candidate], size: tuple[int, int]) -> Floats:
    """What the scorer looks at: (number of lines, number of FEATURES)."""
    words = [word for line in lines for word in line.words]
    kinds = [script(word.text) for word in words]
    picture = _Picture(
        size,
        lines,
        tallest=max(line.height for line in lines),
        median=median(line.height for line in lines),
        confidence=sum(word.confidence for word in words) / len(words),
        latin=kinds.count("latin") / len(kinds),
        letters=sum(len(word.text) for word in words),
    )
    return np.array([_features(line, picture) for line in lines], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Picture:
    """What the lines of one picture are compared with."""

    size: tuple[int, int]
    lines: Sequence[Candidate]
    tallest: float  # pixels
    median: float  # pixels
    confidence: float
    latin: float
    letters: int


def _features(line: Candidate, picture: _Picture) -> list[float]:
    width, height = picture.size
    left, top, right, bottom = line.box
    confidences = [word.confidence for word in line.words]
    cores = [bare(word.text) for word in line.words]
    text = line.text
    signs = len(text.replace(" ", ""))
    letters = sum(character.isalnum() for character in text)
    lengths = [max(len(core), 1) for core in cores]
    known = [bool(core) and (is_known(core) or (core.isdigit() and len(core) > 1)) for core in cores]
    kinds = [script(core) for core in cores]
    count = len(line.words)
    weighted = sum(c * n for c, n in zip(confidences, lengths, strict=True)) / sum(lengths)
    known_letters = sum(n for n, k in zip(lengths, known, strict=True) if k) / sum(lengths)
    inner_capitals = sum(1 for core in cores if core[1:] != core[1:].lower() and core != core.upper())
    latin = kinds.count("latin") / count
    others = [other for other in picture.lines if other is not line]
    gaps = [distance(line.box, other.box) / max(line.height, 1.0) for other in others]
    alike = sum(
        gap < 1.2 and 0.7 < other.height / max(line.height, 1e-9) < 1.4
        for gap, other in zip(gaps, others, strict=True)
    )
    return [
        1.0,
        sum(confidences) / count,
        min(confidences),
        weighted,
        math.log(count),
        math.log1p(letters),
        letters / max(signs, 1),
        sum(known) / count,
        known_letters,
        kinds.count("mixed") / count,
        sum(len(core) <= 2 for core in cores) / count,
        min(sum(lengths) / count, 12) / 6,
        math.log(max(line.height, 1) / min(picture.size)),
        line.height / max(picture.tallest, 1e-9),
        min(line.height / max(picture.median, 1e-9), 4.0),
        (right - left) / width,
        abs((left + right) / 2 / width - 0.5),
        left / width,
        (top + bottom) / 2 / height,
        min(top, height - bottom) / height,
        math.log(len(picture.lines)),
        picture.confidence,
        float(not any(known)),
        latin,
        latin - picture.latin,
        inner_capitals / count,
        sum(character.isdigit() for character in text) / max(signs, 1),
        float(bool(_CLOCK.search(text))),
        float(bool(_ADDRESS.search(text))),
        min(gaps, default=5.0) if not gaps else min(*gaps, 5.0),
        math.log1p(alike),
        len(text) / max(picture.letters, 1),
        math.log1p(sum(other.box[1] < top for other in others)),
        math.log1p(sum(other.box[1] > top for other in others)),
        known_letters * weighted,
    ]


@dataclass(frozen=True, slots=True)
class LineScorer:
    """One hidden layer of ReLUs over :data:`FEATURES` (standardised), then a logistic output."""

    mean: Floats  # (features,)
    scale: Floats  # (features,)
    hidden: Floats  # (features, hidden)
    hidden_bias: Floats  # (hidden,)
    output: Floats  # (hidden,)
    output_bias: float
    threshold: float

    def probabilities(self, values: Floats) -> Floats:
        """(lines, features) -> (lines,), each 0..1."""
        standard = (values - self.mean) / self.scale
        activations = np.maximum(standard @ self.hidden + self.hidden_bias, 0.0)
        logits = activations @ self.output + self.output_bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30))), dtype=np.float64)


@lru_cache(maxsize=1)
def load_scorer(path: Path = SCORER_FILE) -> LineScorer:
    """The scorer that ships.

    Raises:
        ValueError: the file was trained for another list of features.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    if tuple(stored["features"]) != FEATURES:
        raise ValueError(
            f"{path.name} was trained for other features than this version reads: "
            f"train it again with '{PYTHON} -m train_scripts line-scorer'."
        )
    arrays = {name: np.array(stored[name]) for name in ("mean", "scale", "hidden", "hidden_bias", "output")}
    return LineScorer(
        **arrays, output_bias=float(stored["output_bias"]), threshold=float(stored["threshold"])
    )
