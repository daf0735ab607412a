"""One token a word, as recurrent captioners have it: lower-cased words and punctuation marks, cut by nltk."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from inference.tokenizers.words_read import SLOT, slot_names

PAD, START, END, UNK = "<pad>", "<start>", "<end>", "<unk>"
FILE = "vocabulary.json"
_NAMES = {
    "pad": ("<pad>", "<PAD>", "PAD", "#PAD#", ""),  # "": Keras's StringLookup
    "bos": ("<start>", "<bos>", "<sos>", "<BOS>", "<SOS>", "BOS", "SOS", "#START#"),
    "eos": ("<end>", "<eos>", "<EOS>", "EOS", "#END#"),
    "unk": ("<unk>", "<UNK>", "UNK", "#UNK#", "[UNK]"),
}
_OTHER_MARKS = re.compile("[«»„“”‟\"'`’‘]+")
_GOES_ON, _ENDS = frozenset(",:;—–-(["), frozenset(".!?…)]") | {"..", "..."}
_PLACE = "\ue000"
_CLOSES = re.compile(r"\s+([.,:;!?…%)\]}»]|\.\.\.|'')")
_OPENS = re.compile(r"([(\[{«]|``)\s+")


def split_words(text: str) -> list[str]:
    """Lower-cased tokens as nltk's ``word_tokenize`` cuts them, sentence by sentence (double quotes become
    `` and ''); slots stay whole."""
    # Captions are only joined where they are served: cutting them is training's.
    from inference.tokenizers.sentences import split_sentences  # noqa: PLC0415 - nltk

    # nltk would cut a slot at its brackets: it is cut with a letter in its place.
    slots = (found[0] for found in SLOT.finditer(text))
    sentences = split_sentences(SLOT.sub(_PLACE, text.lower()))
    tokens = [str(token) for sentence in sentences for token in _nltk().tokenize(sentence)]
    parts = [part for token in tokens for part in token.partition(_PLACE) if part]
    return [next(slots) if part == _PLACE else part for part in parts]


@functools.cache
def _nltk() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # noqa: PLC0415

    return NLTKWordTokenizer()


def join_words(words: Sequence[str]) -> str:
    """Words and marks as people write them: no space before a comma, closed quotation marks."""
    text = _OPENS.sub(r"\1", _CLOSES.sub(r"\1", " ".join(words)))
    return text.replace("``", '"').replace("''", '"')


class WordTokenizer:
    """``words``: id to word; the special ones are known by their usual names. ``slots``: the ids of
    ``<line0>``, ``<line1>`` ... where there are any.

    A vocabulary without an end word ends at its padding, and one without a start word starts with it, as the
    navec baseline of the meme project does; one without a padding word is padded with its end. Raises
    ValueError when it has neither padding nor end, or a word twice.
    """

    kind = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.ids = {word: i for i, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"The vocabulary holds {twice!r} twice: every word needs one number.")
        bos, eos = self._special("bos"), self._special("eos")
        pad = self._special("pad")
        if pad is None:
            pad = eos
        if pad is None:
            raise ValueError(
                "The vocabulary has no padding word <pad> and no end word <end>: is it the captioner's?"
            )
        self.pad = pad
        self.has_start = bos is not None
        self.bos = pad if bos is None else bos
        self.eos = pad if eos is None else eos
        self.unk = self._special("unk")
        self.marks = (self.ids["``"], self.ids["''"]) if {"``", "''"} <= self.ids.keys() else None
        self.slots = [i for i, word in enumerate(self.words) if SLOT.fullmatch(word)]
        quotes = set(self.marks or ())
        others = [self.ids[word] for word in self.words if _OTHER_MARKS.fullmatch(word)]
        self.other_marks = [token for token in others if self.slots and token not in quotes]
        self.goes_on, self.ends = (
            tuple(self.ids[mark] for mark in sorted(marks) if mark in self.ids) for marks in (_GOES_ON, _ENDS)
        )

    def _special(self, role: str) -> int | None:
        return next((self.ids[name] for name in _NAMES[role] if name in self.ids), None)

    @classmethod
    def from_captions(
        cls,
        captions: Iterable[str],
        threshold: int = 1,
        specials: Sequence[str] = (PAD, START, END, UNK),
        limit: int = 0,
        slots: int = 0,
    ) -> WordTokenizer:
        """The words that come at least ``threshold`` times, in the order of their first coming.

        ``limit``: of these only the most frequent, so many that the vocabulary with its specials has this
        size; 0 = all. ``slots``: how many lines read on a picture have a word of their own, behind the
        special ones.
        """
        specials = [*specials, *slot_names(slots)]
        counts = Counter(word for caption in captions for word in split_words(caption))
        words = [word for word, count in counts.items() if count >= threshold and word not in specials]
        if limit and len(words) > limit - len(specials):
            frequent = sorted(words, key=lambda word: -counts[word])[: limit - len(specials)]
            words = [word for word in words if word in set(frequent)]
        return cls([*specials, *words])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Unknown words are <unk>, or left out where the vocabulary has none."""
        ids = (self.ids.get(word, self.unk) for word in split_words(text))
        return [token for token in ids if token is not None]

    def decode(self, tokens: Sequence[int]) -> str:
        """The sentence, marks close to their words, to its end or to its first padding, where the meme
        project's baselines, which learned padding as a word, end too."""
        said = itertools.takewhile(lambda token: token not in {self.eos, self.pad}, tokens)
        return join_words([self.words[token] for token in said if token != self.bos])

    def save(self, folder: Path) -> None:
        """A JSON list of words."""
        (folder / FILE).write_text(json.dumps(self.words, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> WordTokenizer:
        """The vocabulary of ``folder``."""
        return cls.read(folder / FILE)

    @classmethod
    def read(cls, path: Path) -> WordTokenizer:
        """A JSON vocabulary: a list of words, or an object of number to word, or of word to number.

        Raises FileNotFoundError when it is missing, ValueError when it is none of these.
        """
        if not path.is_file():
            raise FileNotFoundError(f"The vocabulary {path} is missing: put the captioner's JSON there.")
        try:
            words = in_order(json.loads(path.read_text(encoding="utf-8")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no vocabulary: it must map numbers 0, 1, 2 ... to words.") from error
        return cls(words)


def in_order(found: Any) -> list[str]:
    """The words in the order of their numbers, of a list, a table number to word, or word to number.

    Raises KeyError when a number is missing, TypeError, AttributeError or ValueError when it is none of
    these.
    """
    if isinstance(found, list):
        return [str(word) for word in found]
    if all(isinstance(value, int) for value in found.values()):
        found = {number: word for word, number in found.items()}
    numbered = {int(number): str(word) for number, word in found.items()}
    return [numbered[i] for i in range(len(numbered))]
