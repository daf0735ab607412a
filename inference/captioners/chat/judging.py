"""How far what a model says of a picture is borne out: by the words that were read, by its language."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rapidfuzz import fuzz

from inference.common.quoting import quotations, without_quotations
from inference.common.types import Language
from inference.reading.reading import Reading

__all__ = ["Judgement", "is_in", "judged"]

_ALIKE = 80.0  # 0..100, of the letters of a quotation, from which it is taken for what was read
_OWN = 0.5  # of the confidence that is left where no quotation was read
_FOREIGN = 0.5  # of the confidence that is left to a text in another language
_CYRILLIC = re.compile(r"[а-яёіїєґў]", re.IGNORECASE)
_LATIN = re.compile(r"[a-z]", re.IGNORECASE)
_LETTERS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a caption's confidence, and what is to be told of it."""

    factor: float = 1.0  # 0..1
    notes: tuple[str, ...] = ()  # see inference.common.types.Caption


def judged(text: str, reading: Reading, language: Language) -> Judgement:
    """What is quoted and was not read is the model's own reading, however right it may be."""
    own, foreign = _own_share(text, reading), not is_in(language, text)
    told = {"own_reading": own > 0, "other_language": foreign}
    factor = (1 - own * (1 - _OWN)) * (_FOREIGN if foreign else 1)
    return Judgement(factor, tuple(note for note, holds in told.items() if holds))


def is_in(language: Language, text: str) -> bool:
    """Whether a text is in the alphabet of a language, its quotations apart, which are the picture's."""
    said = without_quotations(text)
    cyrillic, latin = len(_CYRILLIC.findall(said)), len(_LATIN.findall(said))
    return latin >= cyrillic if language == "en" else cyrillic >= latin


def _own_share(text: str, reading: Reading) -> float:
    """The share (0..1) of the letters quoted that are in no quotation of what was read."""
    quoted = [plain for plain in map(_plain, quotations(text)) if plain]
    # A line that was cut in two, or a word that is in no line: whichever is closest.
    read = [
        _plain(" ".join(block.text for block in reading.listed_blocks)),
        _plain(" ".join(word.text for word in reading.words)),
    ]
    own = [said for said in quoted if not any(_is_part(said, found) for found in read)]
    return sum(map(len, own)) / sum(map(len, quoted)) if quoted else 0.0


def _is_part(said: str, read: str) -> bool:
    # A quotation longer than all that was read is no part of it, though all of that may be in it.
    return len(said) <= len(read) * 100 / _ALIKE and fuzz.partial_ratio(said, read) >= _ALIKE


def _plain(text: str) -> str:
    return "".join(_LETTERS.findall(text)).casefold().replace("ё", "е")
