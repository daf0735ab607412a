"""METEOR as nltk computes it (`nltk.translate.meteor_score`: alpha .9, beta 3, gamma .5), the mean over
pictures.

What differs from nltk's defaults: its synonym stage reads the English WordNet corpus, which must be
downloaded, so a WordNet without synonyms is passed in. WordNet has no Russian word, so only English words in
a caption could ever gain from it. Plain METEOR keeps nltk's default Porter stemmer (it leaves Cyrillic alone:
Russian forms match only when equal); the Russian variant stems with Snowball's Russian rules, so "кота"
matches "кот".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Meteor"]


class _Stemmer(Protocol):
    def stem(self, word: str) -> str: ...


class _Cached:
    """A stemmer that stems each distinct word once: nltk's are slow, and captions repeat their words."""

    def __init__(self, stemmer: _Stemmer) -> None:
        self._stemmer = stemmer
        self._stems: dict[str, str] = {}

    def stem(self, word: str) -> str:
        stem = self._stems.get(word)
        if stem is None:
            stem = self._stems[word] = self._stemmer.stem(word)
        return stem


class _NoSynonyms:
    """Stands where nltk asks for its WordNet reader."""

    def synsets(self, word: str) -> list[object]:  # noqa: ARG002 (nltk calls it with the word)
        return []


class Meteor:
    """Scores captions, 0..1; `russian` takes Snowball's Russian stemmer instead of Porter's English one."""

    def __init__(self, *, russian: bool = False) -> None:
        from nltk.stem.porter import PorterStemmer  # noqa: PLC0415 - the commands' help does without
        from nltk.stem.snowball import RussianStemmer  # noqa: PLC0415
        from nltk.translate.meteor_score import meteor_score  # noqa: PLC0415

        self._meteor = meteor_score
        self._stemmer = _Cached(RussianStemmer() if russian else PorterStemmer())
        self._wordnet = _NoSynonyms()

    def score(self, prediction: Sequence[str], *references: Sequence[str]) -> float:
        """METEOR of one caption's tokens, the best over its references; 0 when either side has none."""
        return float(self._meteor(references, prediction, stemmer=self._stemmer, wordnet=self._wordnet))
