"""Descriptions to training targets: quoted spans become slots of the lines read on the picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inference.reading.lines import TextLine
from inference.tokenizers.slots import CLOSE, OPEN, UNREAD, split_words
from train_scripts.meme_small.quotes import Span, match_line, normalise, quoted_spans, without_translations

_MATCHES = 0.55
_NOTE = re.compile(r"\s*\(?прим(?:ечание)?\.?\s*(?:админ|автор|редак)\w*\.?:?.*$", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"\s*(?:источник|ссылка|подробнее)?\s*:?\s*https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """``tokens``: words and structure as strings, slots as ints (index of the line)."""

    tokens: tuple[str | int, ...]
    quotes: int
    unread: int  # quotes none of whose words were read


def clean(description: str) -> str:
    """The description without the channel's remarks and links: they tell nothing of the picture."""
    return _LINK.sub("", _NOTE.sub("", description)).strip()


def align(description: str, lines: Sequence[TextLine]) -> Target:
    """Every quoted span becomes ``<quote> slots </quote>``, in the order of the words within the span."""
    description = clean(description)
    spans = quoted_spans(description)
    chosen = _choose(spans, lines)
    tokens: list[str | int] = []
    place = unread = 0
    for span, slots in zip(spans, chosen, strict=True):
        tokens += split_words(description[place : span.start])
        tokens.append(OPEN)
        tokens += slots or [UNREAD]
        tokens.append(CLOSE)
        unread += not slots
        place = span.end
    tokens += split_words(description[place:])
    return Target(tuple(tokens), len(spans), unread)


def _choose(spans: Sequence[Span], lines: Sequence[TextLine]) -> list[list[int]]:
    """Which lines stand in which quote: each line in the quote that holds most of it."""
    quotes = [normalise(without_translations(span.text)) for span in spans]
    chosen: list[list[tuple[float, int]]] = [[] for _ in spans]
    used = [0.0] * len(spans)
    for number, line in enumerate(lines):
        words = normalise(line.text)
        best = max(
            ((*match_line(words, quote), -used[i], i) for i, quote in enumerate(quotes)),
            key=lambda item: (round(item[0], 1), item[2]),
            default=None,
        )
        if best is not None and best[0] >= _MATCHES:
            chosen[best[3]].append((best[1], number))
            used[best[3]] += 1
    if spans and not any(chosen):
        return _by_layout(spans, lines)
    return [[number for _, number in sorted(found)] for found in chosen]


def _by_layout(spans: Sequence[Span], lines: Sequence[TextLine]) -> list[list[int]]:
    """No quote was found: most often it is a translation. Where the counts leave no doubt, the place
    tells which is which.
    """
    blocks: dict[int, list[int]] = {}
    for number, line in enumerate(lines):
        blocks.setdefault(line.block, []).append(number)
    read = sum(len(normalise(line.text)) for line in lines)
    quoted = sum(len(normalise(span.text)) for span in spans)
    if not lines or not 0.5 < quoted / max(read, 1) < 2.0:
        return [[] for _ in spans]
    if len(spans) == 1:
        return [list(range(len(lines)))]
    if len(blocks) == len(spans):
        return [blocks[key] for key in sorted(blocks)]
    return [[] for _ in spans]
