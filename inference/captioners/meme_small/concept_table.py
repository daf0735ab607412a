"""Which concept each word of the vocabulary names: what binds the decoder's words to what is seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inference.checkpoints.format import TOKENIZER_FILE, CheckpointError, read_table
from inference.tokenizers.slots import SlotTokenizer

CONCEPTS_FILE = "concepts.json"
FREE, UNKNOWN = -1, -2  # in ``word_concepts``: says nothing of the picture; says something never learnt


@dataclass(frozen=True, slots=True)
class ConceptTable:
    """``concepts``: lemmas, in the order of the detectors. ``word_concepts``: for each word id the place of
    the concept that it names, :data:`FREE` or :data:`UNKNOWN`.
    """

    concepts: Sequence[str]
    word_concepts: Sequence[int]

    @classmethod
    def of_words(
        cls, tokenizer: SlotTokenizer, concepts: Sequence[str], lemmas_of: Callable[[str], frozenset[str]]
    ) -> Self:
        """Each word of the vocabulary names the concept that is its lemma."""
        places = {concept: i for i, concept in enumerate(concepts)}
        named = []
        for word in tokenizer.words:
            lemmas = lemmas_of(word) if word[:1] != "<" else frozenset()
            named.append(min((places.get(lemma, UNKNOWN) for lemma in lemmas), default=FREE))
        # Words of other alphabets and numbers name something too: a brand, a user, a year.
        for i, word in enumerate(tokenizer.words):
            if named[i] == FREE and word[:1] != "<" and any(c.isascii() and c.isalnum() for c in word):
                named[i] = FREE if word.isdigit() and len(word) == 1 else UNKNOWN
        return cls(tuple(concepts), tuple(named))

    def render(self, tokenizer: SlotTokenizer) -> str:
        """The text of :data:`CONCEPTS_FILE`: a line for each concept, with the words that name it."""
        words: dict[int, list[str]] = {place: [] for place in (*range(len(self.concepts)), UNKNOWN, FREE)}
        for word, place in zip(tokenizer.words, self.word_concepts, strict=True):
            words[place].append(word)
        named = _lines((concept, words[place]) for place, concept in enumerate(self.concepts))
        other = _lines((("unknown", words[UNKNOWN]), ("free", words[FREE])))
        return f'{{\n"concepts": {{\n{named}\n}},\n{other}\n}}\n'

    @classmethod
    def load(cls, folder: Path, tokenizer: SlotTokenizer) -> Self:
        """The table of a checkpoint.

        Raises CheckpointError when it is missing or damaged, or not of these words.
        """
        stored = read_table(folder, CONCEPTS_FILE)
        try:
            if "word_concepts" in stored:  # format 1: by the words' numbers
                concepts, places = tuple(stored["concepts"]), tuple(stored["word_concepts"])
                named = dict(zip(tokenizer.words, places, strict=True))
            else:
                concepts = tuple(stored["concepts"])
                named = _places(stored["concepts"].values(), stored["unknown"], stored["free"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"The table of concepts of {folder.name} is damaged: get the checkpoint anew."
            ) from error
        if lone := sorted(named.keys() ^ {*tokenizer.words}):
            raise CheckpointError(
                f"{CONCEPTS_FILE} of {folder.name} is of another vocabulary than its {TOKENIZER_FILE} (only "
                f"one of them knows {lone[0]!r}): put the files of one checkpoint together."
            )
        return cls(concepts, tuple(named[word] for word in tokenizer.words))


def vocabulary_files(tokenizer: SlotTokenizer, table: ConceptTable) -> dict[str, str]:
    """The texts of the files that the weights are of no use without, by their names."""
    return {TOKENIZER_FILE: tokenizer.render(), CONCEPTS_FILE: table.render(tokenizer)}


def _places(named: Iterable[Sequence[str]], unknown: Sequence[str], free: Sequence[str]) -> dict[str, int]:
    """The place of each word's concept. Raises ValueError where a word is named twice."""
    groups = [*enumerate(named), (UNKNOWN, unknown), (FREE, free)]
    places = {word: place for place, words in groups for word in words}
    if len(places) != sum(len(words) for _, words in groups):
        raise ValueError("a word names two concepts")
    return places


def _lines(rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    shown = ((json.dumps(value, ensure_ascii=False) for value in row) for row in rows)
    return ",\n".join(": ".join(row) for row in shown)
