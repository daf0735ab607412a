"""Pictures read once, descriptions aligned: what the shipped model is trained on, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.reading.features import MAX_LINES, layout_features, line_features
from inference.reading.reading import Reading
from inference.russian.lexicon import bare
from inference.tokenizers.slots import SPECIAL, SlotTokenizer, split_words
from train_scripts.data.dataset import DataRow
from train_scripts.meme_small.align import Target, align, clean
from train_scripts.meme_small.readings import Kept, reading_of
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.pictures import open_picture

LEVELS = 3  # how much a description tells beyond the quotes: by its number of content lemmas
_MEME_COUNT, _PHOTO_COUNT, _CONCEPT_COUNT = 3, 40, 8
_LONGEST = 150  # tokens; a longer description is a story around the meme, not its description


@dataclass(frozen=True, slots=True)
class Example:
    """One picture: what was read on it, ``target`` aligned with its first lines, ``concepts`` the content
    lemmas of its description.
    """

    file_name: str
    reading: Reading
    layout: np.ndarray[Any, Any]  # (LAYOUT_FEATURES,)
    features: np.ndarray[Any, Any]  # (lines, LINE_FEATURES)
    target: Target
    concepts: frozenset[str]


def load_examples(
    rows: Iterable[DataRow], readings: Mapping[str, Kept], lemmas: ContentLemmas
) -> list[Example]:
    """The examples of the rows of one split. ``readings``: by file_name. Rows without a description are left
    out.

    Raises:
        UserError: a picture was never read, or no row has a description.
        UnreadablePicturesError: a picture cannot be opened.
    """
    examples = []
    split = ""
    for row in rows:
        split = row.split
        description = clean(row.text)
        if len(description.split()) < 3:
            continue
        image = open_picture(row.picture)
        kept = readings.get(row.file_name)
        if kept is None:
            raise UserError(
                f"{row.file_name} is not among the readings: read it with '{PYTHON} -m train_scripts read'."
            )
        reading = reading_of(kept, image)
        image = reading.upright(image)
        examples.append(
            Example(
                row.file_name,
                reading,
                layout_features(reading, image),
                line_features(reading, image),
                align(description, reading.lines[:MAX_LINES]),
                lemmas.of(description),
            )
        )
    if not examples:
        raise UserError(
            f"None of the rows of {split} has a description of three words or more: add some that have."
        )
    return examples


def build_tokenizer(
    examples: Sequence[Example], descriptions: Iterable[str], photos: Iterable[str]
) -> SlotTokenizer:
    """Words of the descriptions outside quotes (seen thrice), and of photo captions (seen often); names
    keep capitals.
    """
    memes = Counter(token for one in examples for token in one.target.tokens if isinstance(token, str))
    captions = Counter(token for text in photos for token in split_words(text))
    words = {word for word, count in memes.items() if count >= _MEME_COUNT}
    words |= {word for word, count in captions.items() if count >= _PHOTO_COUNT}
    words -= set(SPECIAL) | {'"', "«", "»", "“", "”", "„"}
    ordered = sorted(words, key=lambda word: (-memes[word], -captions[word], word))
    levels = tuple(f"<detail-{level}>" for level in range(LEVELS))
    return SlotTokenizer((*SPECIAL, *levels, *ordered), _casing(descriptions, words))


def _casing(descriptions: Iterable[str], words: set[str]) -> dict[str, str]:
    """Words that people write with a capital in the middle of a sentence more often than not."""
    seen: dict[str, Counter[str]] = {}
    for text in descriptions:
        before = "."
        for token in clean(text).split():
            word = bare(token)
            if word and before[-1] not in '.!?:"…«' and token[0] not in '"«“':
                seen.setdefault(word.lower(), Counter())[word] += 1
            before = token
    return {
        word: forms.most_common(1)[0][0]
        for word, forms in seen.items()
        if word in words and forms.total() >= 2 and forms.most_common(1)[0][0] != word
    }


def concept_list(examples: Sequence[Example]) -> list[str]:
    """The content lemmas that enough descriptions name for a picture to teach them, most often named first.

    Those named equally often are sorted: sets of strings have another order in every process, and its place
    in this list is what a concept is known by in the files of a run.
    """
    counts = Counter(concept for one in examples for concept in one.concepts)
    often = [concept for concept, count in counts.items() if count >= _CONCEPT_COUNT]
    return sorted(often, key=lambda concept: (-counts[concept], concept))


def target_ids(target: Target, tokenizer: SlotTokenizer) -> list[int]:
    """Words and slots."""
    ids = [len(tokenizer) + t if isinstance(t, int) else tokenizer.id(t) for t in target.tokens]
    return ids[:_LONGEST]


def pad(sequences: Sequence[Sequence[int]], value: int = 0) -> Tensor:
    """(n, longest), padded at the end."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences])
