"""Numbers in words, and what they do to the words that are counted."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from inference.russian.lists import LISTS, Noun
from inference.russian.morphology import inflected, without_yo


def counted(noun: Noun, count: int) -> str:
    """As in: собака, две собаки, пять собак, больше десяти собак. ``count`` >= 1."""
    if count == 1:
        return noun.one
    most = len(LISTS.numbers.cardinals)
    if count > most:
        return f"{LISTS.numbers.more.format(genitive(most))} {noun.many}"
    if noun.gender == "p":
        return f"{LISTS.numbers.collectives[count - 2]} {noun.many}"
    number = cardinal(count, feminine=noun.gender == "f")
    return f"{number} {noun.few if count < 5 else noun.many}"


def cardinal(number: int, *, feminine: bool = False) -> str:
    """два, две, пять; digits past the list. ``number`` >= 1."""
    cardinals = LISTS.numbers.cardinals
    if number > len(cardinals):
        return str(number)
    # Only these two have genders.
    return inflected(cardinals[number - 1], {"femn"}) if feminine and number < 3 else cardinals[number - 1]


@lru_cache(maxsize=64)
def genitive(number: int) -> str:
    """двух, пяти, as in "из двух кадров"; digits past the list. ``number`` >= 2."""
    cardinals = LISTS.numbers.cardinals
    return inflected(cardinals[number - 1], {"gent"}) if number <= len(cardinals) else str(number)


@lru_cache(maxsize=64)
def ordinal(number: int, case: Literal["nomn", "loct"]) -> str:
    """первый or первом, of a masculine noun; "10-й" past the list. ``number`` >= 1."""
    ordinals = LISTS.numbers.ordinals
    if number > len(ordinals):
        return f"{number}-{LISTS.numbers.ordinal_endings[case]}"
    return inflected(ordinals[number - 1], {case, "masc", "sing"})


def ordinal_lemmas() -> dict[str, int]:
    """The dictionary forms of the ordinals, ё as е, with their numbers."""
    return {without_yo(word): number for number, word in enumerate(LISTS.numbers.ordinals, 1)}


def spellings(number: int) -> frozenset[str]:
    """How a number of things is written in the nominative or the genitive, with ё and without: два, две,
    двух, 2.
    """
    forms = {cardinal(number), cardinal(number, feminine=True), genitive(number)}
    return frozenset({*forms, *map(without_yo, forms), str(number)})
