"""Sentences by their parts, and how they are written: one place that knows of capitals, spaces and marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from inference.russian.lists import LISTS

_ENDS = frozenset(".!?…")
_NO_SPACE_BEFORE = frozenset(".,:;!?…)%»")
_NO_SPACE_AFTER = frozenset("(«@#")
_LOOSE = frozenset(",;:-—")  # marks that neither begin nor end a sentence
# A quotation, as a whole, or the first letter of a sentence with the word and the end of the one before it.
_QUOTED_OR_FIRST = re.compile(
    r'"[^"]*"|«[^«»]*»|“[^“”]*”|„[^„“”]*[“”]|(?:^|(?P<before>[^\W_][\w.-]*)?[.!?…]\s+)(?P<first>[^\W\d_])'
)


@dataclass(frozen=True, slots=True)
class Quotation:
    """Words that stand on a picture, as they stand there, without a double quotation mark among them."""

    text: str


Piece = str | Quotation
"""Some words as they stand within a sentence, a mark, or a quotation."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence by its parts, in the order in which they are written."""

    place: str = ""  # where: "на втором кадре"
    lead: tuple[str, ...] = ()  # what announces a quotation, without its colon: "надпись", "сверху"
    author: str = ""  # the account whose post it announces
    body: tuple[Piece, ...] = ()

    def __str__(self) -> str:
        """The sentence as a person writes it; "" where there is nothing to say."""
        colon = ":" if self.lead else ""
        return write([self.place, *self.lead, self.author, colon, *self.body])


def quotes_only(sentence: Sentence) -> bool:
    """Whether all that a sentence says behind what it begins with is quoted."""
    return all(isinstance(piece, Quotation) or piece in {",", "."} for piece in sentence.body)


def listed(quotations: Iterable[Quotation]) -> tuple[Piece, ...]:
    """Quotations one after the other: "а", "б"."""
    return tuple(piece for quotation in quotations for piece in (",", quotation))[1:]


def continued(one: Sentence, other: Sentence) -> Sentence:
    """A sentence that quotes what another one quotes as well."""
    return replace(one, body=listed((*quotations_of(one), *quotations_of(other))))


def quotations_of(sentence: Sentence) -> list[Quotation]:
    """All of them, in order."""
    return [piece for piece in sentence.body if isinstance(piece, Quotation)]


def told(sentences: Iterable[Sentence]) -> str:
    """A text of sentences."""
    return " ".join(filter(None, map(str, sentences)))


def joined(words: Iterable[str]) -> str:
    """As in: а; а и б; а, б и в. "" of none."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} и {last}" if first else last


def write(pieces: Sequence[Piece]) -> str:
    """Pieces as a person writes them: with capitals at the beginnings of sentences, spaces, quotation marks,
    and a full stop at the end, which stands once, behind the closing mark. Pieces of nothing are left out.
    """
    shown = tidied(pieces)
    words, starts = [], True
    for piece, following in pairwise([*shown, ""]):
        if isinstance(piece, Quotation):
            words.append(_quoted(piece, ends=isinstance(following, str) and following[:1] in {"", "."}))
            starts = False
        else:
            words.append(piece[0].upper() + piece[1:] if starts else piece)
            starts = piece[-1] in _ENDS
    text = spaced(words)
    return text if not text or text[-1] in _ENDS else f"{text}."


def capitalised(text: str) -> str:
    """A text with a capital letter where a sentence begins, but not behind an abbreviation. Quotations stay
    as they are: they have the letters that were read.
    """

    def begun(found: re.Match[str]) -> str:
        if found["first"] is None or (found["before"] or "").lower() in LISTS.lexicon.abbreviations:
            return found[0]
        return found[0][:-1] + found[0][-1].upper()

    return _QUOTED_OR_FIRST.sub(begun, text)


def spaced(pieces: Iterable[str]) -> str:
    """Words and marks as one text, with spaces where they belong."""
    text, close = "", True
    for piece in filter(None, pieces):
        text += piece if close or stands_close(piece) else f" {piece}"
        close = piece in _NO_SPACE_AFTER
    return text


def tidied(pieces: Iterable[Piece]) -> list[Piece]:
    """Without pieces of nothing, and without marks at the ends that neither begin nor end a sentence."""
    said = [piece for piece in pieces if piece not in {"", Quotation("")}]
    end = [said.pop()] if said and said[-1] in _ENDS else []
    kept = [number for number, piece in enumerate(said) if piece not in _LOOSE]
    return [*said[kept[0] : kept[-1] + 1], *end] if kept else []


def stands_close(piece: Piece) -> bool:
    """Whether no space is before it."""
    return isinstance(piece, str) and piece[0] in _NO_SPACE_BEFORE


def _quoted(quotation: Quotation, *, ends: bool) -> str:
    """``ends``: a full stop follows."""
    text = quotation.text
    own_stop = len(text) > 1 and text[-1] == "." and text[-2] != "."
    return f'"{text[:-1] if ends and own_stop else text}"'
