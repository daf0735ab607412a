"""From the words recognised to the lines that belong to the picture's message.

Most of what is recognised is what the picture says, some of it is a watermark, the time of a message, specks
taken for letters. A small network, trained on the words that people quoted from real memes
(``python -m train_scripts line-scorer``), gives each line the probability that a person would quote it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from inference.reading.words import Word
from inference.russian.lexicon import as_latin, bare, digits, is_known, one_alphabet, script

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]

SCORER_FILE = Path(__file__).with_name("line_scorer.json")

_WIDE_GAP = 2.2  # in letter heights: words further apart than this belong to two columns
_ROUND = frozenset("оОoO0")  # what the recogniser takes round things for
_CLOCK = re.compile(
    r"\d{1,2}[:.]\d{2}|20\d\d|\d{1,2} (?:янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек)", re.IGNORECASE
)
_FURNITURE = re.compile(
    r"\d\s*(?:тыс\.?\s*|млн\s*|k\s*)?(?:отмет\w+ .?нравится|ретвит\w*|retweets?|likes?)\b"
    r"|^\W*(?:\d+ )?(?:секунд\w*|минут\w*|час\w*|дн\w+|день|недел\w+) назад\W*$"
    r"|^\W*(?:\d+ )?(?:цитировать твит|показать (?:ответы|перевод)|отметк\w+ .?нравится)\W*$"
    r"|twitter (?:for|web)",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# Marks without the space behind them. Between small letters a full stop may belong to an address.
_GLUED = re.compile(r"(?<=[а-яёА-ЯЁ])[,;!?](?=[а-яёА-ЯЁ])|(?<=[а-яё]{2})\.(?=[А-ЯЁ][а-яё])")
_ACCOUNT = re.compile(r"(?:^|\s)@([a-z0-9_]{3,})(?:\s|$)", re.IGNORECASE)
_REPLY = re.compile(r"ответ|repl", re.IGNORECASE)
_ADDRESS = re.compile(r"[@/_]|\w\.(?:com|ru|net|org|me|tv|info)\b|www", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line as it was recognised; the boxes, its own and its words', in pixels of the picture."""

    words: tuple[Word, ...]
    box: Box

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def height(self) -> float:
        """The median height of its words, in pixels: robust against one tall speck."""
        heights = sorted(word.box[3] - word.box[1] for word in self.words)
        return heights[len(heights) // 2]

    @property
    def slope(self) -> float | None:
        """How far the line sinks, in pixels for each to the right; None where it is too short to tell."""
        first, last = self.words[0].box, self.words[-1].box
        run = (last[0] + last[2] - first[0] - first[2]) / 2
        return (last[1] + last[3] - first[1] - first[3]) / 2 / run if run > 3 * self.height else None


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line accepted: ``box`` in pixels of the picture, ``confidence`` the probability (0..1) that a person
    would quote it, ``slope`` how far it sinks, in pixels for each to the right (None: too short to tell),
    ``author`` the account whose post begins with it, ``row`` whether it is a row of a table, cells and all,
    ``inverted`` whether it stands upside down.
    """

    text: str
    box: Box
    height: float
    confidence: float
    slope: float | None = None
    author: str = ""
    row: bool = False
    inverted: bool = False


def shared_area(one: Box, other: Box) -> float:
    """What two boxes have in common, in the square of their unit."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def candidates(words: Sequence[Word], size: tuple[int, int]) -> list[Candidate]:
    """The lines that the words make, split at wide gaps, specks at their ends cut off. ``size`` is (width,
    height) in pixels.
    """
    found: list[Candidate] = []
    for part in pieces(words, size):
        kept = _trim(part)
        if kept:
            found.append(candidate(kept))
    return found


def pieces(words: Sequence[Word], size: tuple[int, int]) -> list[list[Word]]:
    """The lines that the words make, split at wide gaps, specks and all; the boxes in pixels."""
    width, height = size
    by_line: dict[int, list[Word]] = {}
    for word in words:
        left, top, right, bottom = word.box
        in_pixels = (left * width, top * height, right * width, bottom * height)
        by_line.setdefault(word.line, []).append(replace(word, box=in_pixels))
    return [part for line in by_line.values() for part in _split_at_gaps(line)]


def candidate(words: Sequence[Word]) -> Candidate:
    """The line that words with boxes in pixels make."""
    return Candidate(tuple(words), _hull([word.box for word in words]))


def select(words: Sequence[Word], size: tuple[int, int], *, threshold: float | None = None) -> list[ReadLine]:
    """The lines that belong to the picture's message, unordered: those that a description may quote.

    ``threshold`` is the least probability of being quoted; None takes the one the scorer was tuned with.
    """
    lines = candidates(words, size)
    scores = quotable(lines, size)
    least = load_scorer().threshold if threshold is None else threshold
    accepted = [place for place, score in enumerate(scores) if score >= least]
    return written(lines, scores, accepted, accepted)


def quotable(lines: Sequence[Candidate], size: tuple[int, int]) -> list[float]:
    """Of each line the probability (0..1) that a person would quote it."""
    if not lines:
        return []
    scores = load_scorer().probabilities(features(lines, size))
    return [
        0.0 if is_furniture(line.text) or _is_name(line, lines) else float(score)
        for line, score in zip(lines, scores, strict=True)
    ]


def written(
    lines: Sequence[Candidate], scores: Sequence[float], shown: Sequence[int], quoted: Sequence[int]
) -> list[ReadLine]:
    """The lines with the numbers ``shown`` as people write them: one alphabet a word, even capitals, numbers
    in digits. The picture's alphabet, its capitals and the authors of its posts are those of the lines
    ``quoted``.
    """
    message = [lines[place] for place in quoted]
    authors = _authors(message, lines)
    kinds = [script(word.text) for line in message for word in line.words]
    prefer_cyrillic = kinds.count("cyrillic") >= kinds.count("latin")
    capitals = _share_of_capitals([line.text for line in message])
    return [
        ReadLine(
            " ".join(
                _even(token, capitals) for token in _spell(line, prefer_cyrillic=prefer_cyrillic).split(" ")
            ),
            line.box,
            line.height,
            scores[place],
            line.slope,
            authors.get(line.box, ""),
            inverted=line.words[0].turn == 2,
        )
        for place, line in ((place, lines[place]) for place in shown)
    ]


def is_furniture(text: str) -> bool:
    """Whether a line is no message: marks alone, or what a site writes under every post."""
    said = any(character.isalnum() or character in "?!…" for character in text) or "..." in text
    return not said or bool(_FURNITURE.search(text))


def _is_name(line: Candidate, lines: Sequence[Candidate]) -> bool:
    """Whether a line is the name that stands over an account ("Иван" over "@ivan"): who writes, not what."""
    return any(
        len(other.words) <= 2
        and other.text.startswith("@")
        and -0.5 * other.height < other.box[1] - line.box[3] < 1.2 * other.height
        and abs(line.box[0] - other.box[0]) < 1.5 * other.height
        for other in lines
        if other is not line
    )


def _authors(accepted: Sequence[Candidate], lines: Sequence[Candidate]) -> dict[Box, str]:
    """The accounts of posts, by the boxes of the lines that the posts begin with."""
    found: dict[Box, str] = {}
    for line in lines:
        account = _ACCOUNT.search(as_latin(line.text))
        if account is None or line in accepted or _REPLY.search(line.text):
            continue
        below = [
            other
            for other in accepted
            if other.box[1] > line.box[3] - line.height / 2 and other.box[0] < line.box[2]
        ]
        first = min(below, key=lambda other: other.box[1], default=None)
        if first is not None and first.box[1] - line.box[3] < 4 * line.height:
            found.setdefault(first.box, account[1])
    return found


def _share_of_capitals(texts: Sequence[str]) -> float:
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    return sum(letter.isupper() for letter in letters) / max(len(letters), 1)


def _even(token: str, capitals: float) -> str:
    """Cyrillic capitals look like their small letters: "кОт" and "кОТ" are "КОТ" where most of a picture is
    capitals, and "YouR" is "YOUR". Elsewhere Latin keeps them: "iPhone".
    """
    return _LETTERS.sub(lambda word: _evened(word[0], capitals), token)


def _evened(word: str, capitals: float) -> str:
    kind = script(word)
    if kind == "mixed" or word in {word.lower(), word.upper(), word.capitalize()}:
        return word
    if kind == "latin":
        return word.upper() if capitals >= 0.7 else word
    return word.upper() if capitals >= 0.5 else word.lower()


def _spell(line: Candidate, *, prefer_cyrillic: bool) -> str:
    own = [script(word.text) for word in line.words]
    if own.count("cyrillic") != own.count("latin"):
        prefer_cyrillic = own.count("cyrillic") > own.count("latin")
    spelt = " ".join(digits(one_alphabet(word.text, prefer_cyrillic=prefer_cyrillic)) for word in line.words)
    return _GLUED.sub(r"\g<0> ", spelt)


def _split_at_gaps(line: Sequence[Word]) -> list[list[Word]]:
    ordered = sorted(line, key=_along)
    parts: list[list[Word]] = [[ordered[0]]]
    for before, word in pairwise(ordered):
        sides = (1, 3) if word.turn % 2 == 0 else (0, 2)  # of the boxes, across the line
        height = max(own.box[sides[1]] - own.box[sides[0]] for own in (before, word))
        if _along(word)[0] - _along(before)[1] > _WIDE_GAP * height:
            parts.append([word])
        else:
            parts[-1].append(word)
    return parts


def _along(word: Word) -> tuple[float, float]:
    """Where a word begins and ends in the direction in which its line is read."""
    left, top, right, bottom = word.box
    return ((left, right), (top, bottom), (-right, -left), (-bottom, -top))[word.turn]


def _trim(line: list[Word]) -> list[Word]:
    """Without specks at the ends: marks that are no letters, unless the recogniser is sure of them."""
    start, end = 0, len(line)
    alone = len(line) == 1
    while start < end and _is_speck(line[start], alone=alone):
        start += 1
    while end > start and _is_speck(line[end - 1], alone=alone):
        end -= 1
    return line[start:end]


def _is_speck(word: Word, *, alone: bool) -> bool:
    core = bare(word.text)
    if len(core) > 1:
        return word.confidence < 0.4
    if alone and word.text in _ROUND:
        return word.confidence < 0.8
    # Beside other words a letter that is a word of its own is one.
    return word.confidence < (0.45 if is_known(core) and not alone else 0.6)


def _hull(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


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
    gaps = [_gap(line.box, other.box) / max(line.height, 1.0) for other in others]
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


def _gap(one: Box, other: Box) -> float:
    """Pixels between two boxes, along the axis where they are further apart; 0 where they touch."""
    across = max(one[0] - other[2], other[0] - one[2], 0.0)
    down = max(one[1] - other[3], other[1] - one[3], 0.0)
    return max(across, down)


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
