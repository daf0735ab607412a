"""Faithfulness of the description around the quotes: are the things it names in the reference too?

A caption's content is its set of lemmas (pymorphy3's first parse) of nouns, verbs (participles and gerunds
among them) and adjectives outside quotes, without pronominal adjectives (который, свой, …) and without the
lemmas of the genre's boilerplate (`boilerplate_ru.txt`: мем, надпись, кадр, …), which are right in any
caption and say nothing. Precision is the share of the lemmas said that the reference has too; recall the
share of the reference's lemmas that were said (of several references: right is what any of them names, and
the one covered best is to be covered); both over all pictures together, so a caption that says
nothing neither helps nor harms precision. Words in other alphabets are left out. One reference names only a
part of what is on a picture: even a good description by another person stays far below 1. The description of
a random training meme gets about .03 for both.
"""

from __future__ import annotations

import re
from importlib import resources

import numpy as np
import pymorphy3
from numpy.typing import NDArray

from train_scripts.metrics.quotes import unquoted_parts

__all__ = ["ContentLemmas", "content_counts"]

_WORD = re.compile(r"[а-яё]+(?:-[а-яё]+)*")
_CONTENT = frozenset({"NOUN", "VERB", "INFN", "GRND", "PRTF", "PRTS", "ADJF", "ADJS", "COMP"})


def _boilerplate() -> frozenset[str]:
    text = resources.files(__package__).joinpath("boilerplate_ru.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


class ContentLemmas:
    """Finds the content lemmas of captions; remembers each word it has parsed."""

    def __init__(self) -> None:
        self._morphology = pymorphy3.MorphAnalyzer()
        self._boilerplate = _boilerplate()
        self._lemmas: dict[str, str | None] = {}

    def _lemma(self, word: str) -> str | None:
        """The lemma of a content word, `ё` as `е`; None for any other word."""
        parse = self._morphology.parse(word)[0]
        tag = parse.tag
        if tag.POS not in _CONTENT or ("Apro" in tag and "Anum" not in tag):
            return None
        lemma = str(parse.normal_form).replace("ё", "е")
        return None if lemma in self._boilerplate else lemma

    def of(self, text: str) -> frozenset[str]:
        """The content lemmas of one caption."""
        lemmas = set()
        for word in _WORD.findall(" ".join(unquoted_parts(text)).lower()):
            if word not in self._lemmas:
                self._lemmas[word] = self._lemma(word)
            lemma = self._lemmas[word]
            if lemma is not None:
                lemmas.add(lemma)
        return frozenset(lemmas)


def content_counts(prediction: frozenset[str], *references: frozenset[str]) -> NDArray[np.float64]:
    """Shape (4,): the prediction's content lemmas that any reference has, all of the prediction's; those it
    shares with the reference that it covers best, all of that one's.
    """
    known = len(prediction & frozenset[str]().union(*references))
    covered = max(references, key=lambda r: (len(prediction & r) / max(1, len(r)), len(r)))
    return np.array(
        [known, len(prediction), len(prediction & covered), len(covered)],
        dtype=np.float64,
    )
