"""Whether what a decoder wrote can be Russian, as far as prepositions tell: a phrase in one of their cases
must follow. "Мем на двух кадров" and "Мем из мем" are no sentences.

Cases by OpenCorpora's names, parts of speech by pymorphy3.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from inference.russian.lexicon import CYRILLIC
from inference.russian.lists import LISTS
from inference.russian.morphology import parses

_TAKES = LISTS.prepositions
_SECOND = {"gen2": "gent", "loc2": "loct", "acc2": "accs"}


class _Word(NamedTuple):
    noun: frozenset[str]  # its cases, where it can be a noun
    attribute: frozenset[str]  # its cases, where it can be an adjective, a participle or a numeral
    adverb: bool
    ordinal: bool
    counts: bool  # a numeral behind which the counted stands in the genitive: "на два кадра"
    passes: bool  # says nothing of cases, or begins a clause of its own


def is_well_formed(words: Sequence[str]) -> bool:
    """Whether behind each preposition stands what it takes, and a colon but once. ``words``: lower-cased, of
    one sentence or a part of it, without quotations.
    """
    if words.count(":") > 1:
        return False
    return all(
        _begins(words[place + 1 :], _TAKES[word]) for place, word in enumerate(words) if word in _TAKES
    )


def _begins(words: Sequence[str], cases: Collection[str]) -> bool:
    """Whether the words begin with a noun in one of the cases, perhaps behind its attributes."""
    wanted = set(cases)
    for place, text in enumerate(words):
        word = _parsed(text)
        if text in _TAKES:  # not the plural of a name, "Иза"
            return False
        if word.passes or word.noun & wanted:
            return True
        if word.adverb:
            continue
        if not word.attribute & wanted:
            return False
        if word.ordinal:
            return True  # "на второй"
        if word.counts:
            wanted.add("gent")
        language = text.endswith(LISTS.clauses.language_ending)
        if language and not (words[place + 1 :] and _parsed(words[place + 1]).noun):
            return True
    return False


@lru_cache(maxsize=4096)
def _parsed(text: str) -> _Word:
    if not CYRILLIC.match(text):
        letters = any(character.isalnum() for character in text)
        return _Word(
            frozenset(), frozenset(), adverb=False, ordinal=False, counts=False, passes=letters
        )  # a number, a name
    found = parses(text)
    tags = [tag for tag, _ in found]

    def cases(*kinds: str) -> frozenset[str]:
        return frozenset(_SECOND.get(str(t.case), str(t.case)) for t in tags if t.POS in kinds and t.case)

    return _Word(
        noun=cases("NOUN", "NPRO"),
        attribute=cases("ADJF", "PRTF", "NUMR"),
        adverb=tags[0].POS == "ADVB",
        ordinal=any("Anum" in t for t in tags),
        counts=any(t.POS == "NUMR" and t.case == "accs" and "anim" not in t for t in tags),
        passes=any(form == LISTS.clauses.relative for _, form in found) or all(t.POS is None for t in tags),
    )
