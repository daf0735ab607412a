"""The words read on a picture, as decoders that know nothing of pictures with words can take them.

A word-level decoder cannot say words outside its vocabulary, so it is taught to say *that* a line is quoted:
``slots`` are words ``<line0>``, ``<line1>`` ... of its vocabulary. Those of the picture's lines are fed
before the sentence; said in its quotes, they are replaced by what was read when the sentence is whole. A
decoder of word pieces can say anything: it is given the text itself, as a ``prompt``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from rapidfuzz import fuzz

from inference.reading.lines import TextLine
from inference.reading.reading import Reading

WordsRead = Literal["none", "slots", "prompt"]
SLOTS = 16  # lines a word-level vocabulary has words for, unless it is made with another number
PROMPT_TOKENS = 64  # of the text read, unless a model is made with another number
SLOT = re.compile(r"<line(\d+)>")
BEFORE, AFTER, NOTHING = "На картинке написано: «", "». Описание:", "Описание:"

_QUOTE = re.compile(r'"([^"]+)"|«([^«»]+)»|“([^“”]+)”|„([^„“”]+)[“”]')
_QUOTED_SLOT = re.compile(rf'\s*:\s*"\s*{SLOT.pattern}')
_NO_WORD = re.compile(r"[\W_]+")
_LINES_OF_A_QUOTE = 8
_ALIKE = 75  # per cent: a quotation is these lines; people correct what is misread


def slot_names(count: int) -> list[str]:
    """The words that stand for the first ``count`` lines."""
    return [f"<line{number}>" for number in range(count)]


def to_slots(text: str, lines: Sequence[TextLine], count: int) -> str:
    """``text`` with each quotation that is a run of the first ``count`` lines as these lines' slots, and all
    quotations between marks of one kind, the typewriter's."""
    plain = [_plain(line.text) for line in lines[:count]]

    def replaced(quote: re.Match[str]) -> str:
        inner = next(group for group in quote.groups() if group is not None)
        run = _best_run(_plain(inner), plain)
        return f'"{inner}"' if run is None else f'"{" ".join(f"<line{i}>" for i in run)}"'

    return _QUOTE.sub(replaced, text)


def slotted(texts: Sequence[str], readings: Sequence[Reading] | None, count: int) -> list[str]:
    """Captions as :func:`to_slots` makes them of what was read on their pictures (None: nothing on any)."""
    lines = [()] * len(texts) if readings is None else [own.lines for own in readings]
    return [to_slots(text, own, count) for text, own in zip(texts, lines, strict=True)]


def from_slots(text: str, lines: Sequence[TextLine]) -> str:
    """``text`` with what was read in place of the slots."""

    def read(slot: re.Match[str]) -> str:
        number = int(slot[1])
        return lines[number].quote if number < len(lines) else ""

    return SLOT.sub(read, text)


def author_behind(lines: Sequence[TextLine], text: str) -> str:
    """The account that wrote the lines whose slots are quoted where ``text`` begins, behind a colon; "" where
    it begins otherwise, or that is not known."""
    slot = _QUOTED_SLOT.match(text)
    number = int(slot[1]) if slot else len(lines)
    return lines[number].author if number < len(lines) else ""


def text_read(lines: Sequence[TextLine]) -> str:
    """What was read as one text, in reading order."""
    return " ".join(filter(None, (line.quote for line in lines)))


def _best_run(quote: str, lines: Sequence[str]) -> range | None:
    best, found = float(_ALIKE), None
    for start in range(len(lines)):
        joined = ""
        for end in range(start, min(start + _LINES_OF_A_QUOTE, len(lines))):
            joined = f"{joined} {lines[end]}".strip()
            alike = fuzz.ratio(quote, joined)
            if lines[start] and lines[end] and alike >= best and (found is None or alike > best):
                best, found = alike, range(start, end + 1)
            if len(joined) > 2 * len(quote):
                break
    return found


def _plain(text: str) -> str:
    """Letters and digits alone, lower-cased, ё as е: what two writings of the same words have in common."""
    return _NO_WORD.sub(" ", text.lower().replace("ё", "е")).strip()
