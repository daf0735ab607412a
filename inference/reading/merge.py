"""From what several passes of Tesseract saw to the lines that really stand on the picture.

Each pass gives candidate lines, most of them right, some of them specks of a photo taken for letters. A small
network, trained on the words that people quoted from real memes (``python -m train_scripts line-scorer``),
gives each candidate the probability that it is print; among candidates at the same place the likeliest wins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz

from inference.reading.lexicon import bare, is_known, one_alphabet, script
from inference.reading.tesseract import Word

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]

SCORER_FILE = Path(__file__).with_name("line_scorer.json")

_WIDE_GAP = 2.2  # in letter heights: words further apart than this belong to two columns
_SAME_PLACE = 0.35  # share of the smaller box: candidates that overlap more are rivals
_WIDEST = 2.5  # a letter's width in letter heights: the gutter between two frames is no "ООО"
_ALIKE = 80  # rapidfuzz ratio above which two readings agree


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line as one pass saw it; ``box`` in pixels of the picture."""

    words: tuple[Word, ...]
    box: Box
    origin: str

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def height(self) -> float:
        """The median height of its words, in pixels: robust against one tall speck."""
        heights = sorted(word.box[3] - word.box[1] for word in self.words)
        return heights[len(heights) // 2]


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line accepted: ``box`` in pixels of the picture, ``confidence`` the probability (0..1) that it
    is print.
    """

    text: str
    box: Box
    height: float
    confidence: float


def candidates(passes: Mapping[str, Sequence[Word]], size: tuple[int, int]) -> list[Candidate]:
    """The lines of every pass, split at wide gaps, specks at their ends cut off. ``size`` is (width,
    height) in pixels.
    """
    width, height = size
    found: list[Candidate] = []
    for origin, words in passes.items():
        by_line: dict[int, list[Word]] = {}
        for word in words:
            left, top, right, bottom = word.box
            in_pixels = (left * width, top * height, right * width, bottom * height)
            by_line.setdefault(word.line, []).append(Word(word.text, in_pixels, word.confidence, word.line))
        for line in by_line.values():
            for part in _split_at_gaps(line):
                kept = _trim(part)
                if kept:
                    found.append(Candidate(tuple(kept), _hull([word.box for word in kept]), origin))
    return found


def select(
    passes: Mapping[str, Sequence[Word]], size: tuple[int, int], *, threshold: float | None = None
) -> list[ReadLine]:
    """The lines that stand on the picture, unordered.

    ``threshold`` is the least probability of being print; None takes the one the scorer was tuned with.
    """
    scorer = load_scorer()
    least = scorer.threshold if threshold is None else threshold
    lines = candidates(passes, size)
    if not lines:
        return []
    scores = scorer.probabilities(features(lines, size))
    accepted: list[tuple[Candidate, float]] = []
    # A longer reading of the same place says more: two words of one line must not shut out the whole line.
    order = sorted(range(len(lines)), key=lambda i: -_worth(lines[i], float(scores[i])))
    for i in order:
        if scores[i] < least or _letter_width(lines[i]) > _WIDEST:
            continue
        if any(overlap(lines[i].box, rival.box) > _SAME_PLACE for rival, _ in accepted):
            continue
        accepted.append((lines[i], float(scores[i])))
    cyrillic = sum(1 for line, _ in accepted for word in line.words if script(word.text) == "cyrillic")
    latin = sum(1 for line, _ in accepted for word in line.words if script(word.text) == "latin")
    return [
        ReadLine(_spell(line, prefer_cyrillic=cyrillic >= latin), line.box, line.height, score)
        for line, score in accepted
    ]


def _letter_width(line: Candidate) -> float:
    return (line.box[2] - line.box[0]) / (len(line.text) * max(line.height, 1e-9))


def _worth(line: Candidate, score: float) -> float:
    letters = sum(character.isalnum() for character in line.text)
    return score * score * math.log1p(letters)


def _spell(line: Candidate, *, prefer_cyrillic: bool) -> str:
    own = [script(word.text) for word in line.words]
    if own.count("cyrillic") != own.count("latin"):
        prefer_cyrillic = own.count("cyrillic") > own.count("latin")
    return " ".join(one_alphabet(word.text, prefer_cyrillic=prefer_cyrillic) for word in line.words)


def _split_at_gaps(line: Sequence[Word]) -> list[list[Word]]:
    ordered = sorted(line, key=lambda word: word.box[0])
    parts: list[list[Word]] = [[ordered[0]]]
    for before, word in pairwise(ordered):
        height = max(before.box[3] - before.box[1], word.box[3] - word.box[1])
        if word.box[0] - before.box[2] > _WIDE_GAP * height:
            parts.append([word])
        else:
            parts[-1].append(word)
    return parts


def _is_speck(word: Word) -> bool:
    core = bare(word.text)
    if not core:
        return True
    if is_known(core):
        return word.confidence < 0.25
    return word.confidence < 0.45 or (len(core) <= 2 and not core.isdigit() and word.confidence < 0.85)


def _trim(line: list[Word]) -> list[Word]:
    start, end = 0, len(line)
    while start < end and _is_speck(line[start]):
        start += 1
    while end > start and _is_speck(line[end - 1]):
        # A full stop or an ellipsis of its own still ends the sentence.
        if end - 1 > start and line[end - 1].text in {"...", "…", "!", "?", "!!!", "—", "-", ":"}:
            break
        end -= 1
    return line[start:end]


def _hull(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def overlap(one: Box, other: Box) -> float:
    """The intersection's share of the smaller box, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / max(min(areas), 1e-9)


# --- is it print?
# -----------------------------------------------------------------------------------------------

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
    "width",
    "passes that agree",
    "best agreement",
    "passes that see something here",
    "log candidates",
    "mean confidence of the pass",
    "no known word",
    "latin",
    "capital inside words",
    "known and confident",
    "agreed and confident",
    "from bright",
    "from large",
)


def features(lines: Sequence[Candidate], size: tuple[int, int]) -> Floats:
    """What the scorer looks at: (number of lines, number of FEATURES)."""
    by_origin: dict[str, list[float]] = {}
    for line in lines:
        by_origin.setdefault(line.origin, []).extend(word.confidence for word in line.words)
    means = {origin: sum(values) / len(values) for origin, values in by_origin.items()}
    return np.array([_features(line, lines, size, means[line.origin]) for line in lines], dtype=np.float64)


def _features(
    line: Candidate, lines: Sequence[Candidate], size: tuple[int, int], pass_mean: float
) -> list[float]:
    confidences = [word.confidence for word in line.words]
    cores = [bare(word.text) for word in line.words]
    text = line.text
    letters = sum(character.isalnum() for character in text)
    lengths = [max(len(core), 1) for core in cores]
    known = [bool(core) and (is_known(core) or (core.isdigit() and len(core) > 1)) for core in cores]
    kinds = [script(core) for core in cores]
    agreement: dict[str, float] = {}
    seen: set[str] = set()
    for other in lines:
        if other.origin != line.origin and overlap(line.box, other.box) > _SAME_PLACE:
            seen.add(other.origin)
            ratio = fuzz.ratio(text.lower(), other.text.lower())
            agreement[other.origin] = max(agreement.get(other.origin, 0.0), ratio)
    count = len(line.words)
    mean = sum(confidences) / count
    weighted = sum(c * n for c, n in zip(confidences, lengths, strict=True)) / sum(lengths)
    known_letters = sum(n for n, k in zip(lengths, known, strict=True) if k) / sum(lengths)
    agreed = sum(ratio > _ALIKE for ratio in agreement.values())
    inner_capitals = sum(1 for core in cores if core[1:] != core[1:].lower() and core != core.upper())
    return [
        1.0,
        mean,
        min(confidences),
        weighted,
        math.log(count),
        math.log1p(letters),
        letters / max(len(text.replace(" ", "")), 1),
        sum(known) / count,
        known_letters,
        kinds.count("mixed") / count,
        sum(len(core) <= 2 for core in cores) / count,
        min(sum(lengths) / count, 12) / 6,
        math.log(max(line.height, 1) / min(size)),
        (line.box[2] - line.box[0]) / size[0],
        float(agreed),
        max(agreement.values(), default=0.0) / 100,
        float(len(seen)),
        math.log(len(lines)),
        pass_mean,
        float(not any(known)),
        kinds.count("latin") / count,
        inner_capitals / count,
        known_letters * weighted,
        agreed * weighted,
        float(line.origin == "bright"),
        float(line.origin == "sparse-large"),
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
            "train it again with 'python -m train_scripts line-scorer'."
        )
    arrays = {name: np.array(stored[name]) for name in ("mean", "scale", "hidden", "hidden_bias", "output")}
    return LineScorer(
        **arrays, output_bias=float(stored["output_bias"]), threshold=float(stored["threshold"])
    )
