"""Forms of Russian words, by pymorphy3's dictionary: what a form may be, and the form that is wanted.

Grammatical names are OpenCorpora's, as pymorphy3 has them: "NOUN", "nomn", "3per".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pymorphy3

from inference.russian.lists import LISTS

_GENDERS = ("masc", "femn", "neut")  # the order of a row of participles; their plural stands behind these


@lru_cache(maxsize=1)
def _russian() -> pymorphy3.MorphAnalyzer:
    return pymorphy3.MorphAnalyzer(lang="ru")


def without_yo(text: str) -> str:
    """ё as е, as most people print it."""
    return text.replace("ё", "е")


def in_dictionary(word: str) -> bool:
    """Whether a word in small letters is a form of one in the dictionary."""
    return bool(_russian().word_is_known(word))


@lru_cache(maxsize=65536)
def lemma(word: str) -> str:
    """The dictionary form of a Russian word, ё as е: "фотографии" -> "фотография"."""
    return parses(word)[0][1]


def forms(lemma: str) -> frozenset[str]:
    """All that a dictionary form, with е for ё, may look like in a text, ё as е."""
    found = (one for one in _russian().parse(lemma) if without_yo(str(one.normal_form)) == lemma)
    return frozenset(without_yo(str(form.word)) for one in found for form in one.lexeme)


@lru_cache(maxsize=8192)
def parses(word: str) -> tuple[tuple[Any, str], ...]:
    """pymorphy3's parses of a Russian word, likeliest first: the tag (part of speech, case, ...) and the
    dictionary form.
    """
    found = _russian().parse(word.lower())
    return tuple((one.tag, without_yo(str(one.normal_form))) for one in found)


def written(lemma: str) -> str:
    """A dictionary form with its ё: "ребенок" -> "ребёнок"."""
    return str(_russian().parse(lemma)[0].normal_form)


def inflected(lemma: str, grammemes: set[str]) -> str:
    """The form of a dictionary form: "сидеть", {"3per", "plur", ...} -> "сидят".

    Raises:
        ValueError: there is no such form.
    """
    form = _russian().parse(lemma)[0].inflect(grammemes)
    if form is None:
        raise ValueError(f"{lemma} has no form {sorted(grammemes)}.")
    return str(form.word)


@lru_cache(maxsize=1)
def _participles() -> dict[str, tuple[str, ...]]:
    """Of each form of a short participle, with ё or without, all of its forms."""
    rows = (*LISTS.participles.shown, *LISTS.participles.others)
    return {form: row for row in rows for one in row for form in (one, without_yo(one))}


def agreed(participle: str, noun: str) -> str:
    """A short participle in the gender and number of the noun behind it: "изображён", "собака" ->
    "изображена". As it is where it agrees, is none of those listed, or no noun in the nominative follows.
    """
    row = _participles().get(participle)
    if row is None:
        return participle
    tags = [tag for tag, _ in parses(noun)]
    tag = next((tag for tag in tags if tag.POS == "NOUN" and tag.case == "nomn"), None)
    if tag is None or tags[0].POS != "NOUN":
        return participle
    place = 3 if tag.number == "plur" else _GENDERS.index(tag.gender) if tag.gender in _GENDERS else 0
    return participle if participle == without_yo(row[place]) else row[place]
