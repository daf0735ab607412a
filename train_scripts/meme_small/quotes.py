"""Quoted spans of a reference description, and which lines read on the picture they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz

from inference.russian.lexicon import bare
from train_scripts.metrics.quotes import quoted_mask

_CLOSING = frozenset('"»”“')
_TRANSLATION = re.compile(r"\([^()]*[а-яё][^()]*\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start:end`` of the description, marks included; ``text`` is what stands between."""

    start: int
    end: int
    text: str


def quoted_spans(description: str) -> list[Span]:
    """The quoted spans in order, outermost only."""
    inside = quoted_mask(description)
    spans: list[Span] = []
    start = 0
    while start < len(inside):
        if not inside[start]:
            start += 1
            continue
        end = start
        # One mark alone between two quoted characters is a quotation within the quotation.
        while end < len(inside) and (inside[end] or inside[end + 1 : end + 2] == [True]):
            end += 1
        closed = end < len(description) and description[end] in _CLOSING
        spans.append(Span(start - 1, end + closed, description[start:end].strip()))
        start = end
    return spans


def normalise(text: str) -> list[str]:
    """Lower-cased words without punctuation, ё as е: what two writings of the same words have in common."""
    words = (bare(token).lower().replace("ё", "е") for token in text.split())
    return [word for word in words if word]


def _same(one: str, other: str) -> bool:
    if min(len(one), len(other)) <= 3:
        return one == other
    return fuzz.ratio(one, other) >= 75


def match_line(line: Sequence[str], quote: Sequence[str]) -> tuple[float, float]:
    """How much of a line (normalised words) stands in a row in the quote, 0..1, and where (word index).

    The window of the quote as long as the line that shares most words with it, in order.
    """
    if not line or not quote:
        return 0.0, 0.0
    best, place = 0.0, 0
    for start in range(max(1, len(quote) - len(line) + 1)):
        window = quote[start : start + len(line)]
        hits = sum(_same(a, b) for a, b in zip(line, window, strict=False))
        # A split or joined word shifts the rest by one: the characters still agree.
        score = max(hits / len(line), fuzz.ratio("".join(line), "".join(window)) / 100)
        if score > best:
            best, place = score, start
    return best, float(place)


def is_translated(description: str) -> bool:
    """Whether the quotes are a translation of what stands on the picture ("мем на английском")."""
    lowered = description.lower()
    return "на английском" in lowered or "по-английски" in lowered


def without_translations(quote: str) -> str:
    """The quote without a Russian translation added in brackets after foreign words."""
    if re.search(r"[a-z]{3}", quote, re.IGNORECASE):
        return _TRANSLATION.sub(" ", quote)
    return quote
