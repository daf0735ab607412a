"""What the decoder is told of pictures: numbers and words of their lines, padded to one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from inference.reading.features import LINE_FEATURES, MAX_LINES
from inference.reading.reading import Reading
from inference.russian.lexicon import bare
from inference.tokenizers.slots import SPECIAL, SlotTokenizer

__all__ = ["MAX_LINE_WORDS", "Array", "SlotMemory", "SlotPrefixConfig", "collate", "line_word_ids"]

MAX_LINE_WORDS = 12

Array = npt.NDArray[Any]
A = TypeVar("A")  # an array of numpy, or a tensor of torch


@dataclass(frozen=True, slots=True)
class SlotPrefixConfig:
    """Sizes. ``concepts`` are told apart, the ``shown`` likeliest of a picture stand in the prefix.

    ``copying``: a ``pointer`` compares with the lines' own vectors; ``slots`` are words of the vocabulary:
    the first line, the second one, whatever stands there.
    """

    vocabulary: int
    concepts: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    shown: int = 16
    max_lines: int = MAX_LINES
    max_tokens: int = 192
    dropout: float = 0.2
    copying: Literal["pointer", "slots"] = "pointer"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SlotMemory(Generic[A]):
    """What is known of n pictures, m lines at most (m may be 0), w words a line at most.

    ``concepts`` (n, shown) numbers of the likeliest concepts, likeliest first, and ``probabilities``
    (n, shown) 0..1; ``layout`` (n, LAYOUT_FEATURES); ``line_features`` (n, m, LINE_FEATURES); ``line_words``
    (n, m, w) vocabulary ids, 0 = none; ``line_mask`` (n, m), True where there is a line.
    """

    concepts: A
    probabilities: A
    layout: A
    line_features: A
    line_words: A
    line_mask: A


def line_word_ids(reading: Reading, tokenizer: SlotTokenizer) -> Array:
    """(lines, MAX_LINE_WORDS) ids of the words of the first :data:`MAX_LINES` lines that the vocabulary
    knows, 0 where none.
    """
    lines = reading.lines[:MAX_LINES]
    ids = np.zeros((len(lines), MAX_LINE_WORDS), dtype=np.int64)
    for row, line in enumerate(lines):
        known = [tokenizer.ids.get(bare(word).lower(), 0) for word in line.text.split()]
        known = [i for i in known if i >= len(SPECIAL)][:MAX_LINE_WORDS]
        ids[row, : len(known)] = known
    return ids


def collate(
    probabilities: Array,
    shown: int,
    layout: Sequence[Array],
    features: Sequence[Array],
    words: Sequence[Array],
) -> SlotMemory[Array]:
    """One memory of n pictures, their lines padded to the most lines among them.

    ``probabilities`` (n, concepts), of which the ``shown`` highest are told.
    """
    n, m = len(features), max((len(one) for one in features), default=0)
    values = np.zeros((n, m, LINE_FEATURES), dtype=np.float32)
    ids = np.zeros((n, m, MAX_LINE_WORDS), dtype=np.int64)
    mask = np.zeros((n, m), dtype=bool)
    for i, (one, own) in enumerate(zip(features, words, strict=True)):
        values[i, : len(one)] = one
        ids[i, : len(one)] = own
        mask[i, : len(one)] = True
    highest = (-probabilities).argsort(axis=1, kind="stable")[:, :shown]
    sure = np.take_along_axis(probabilities, highest, axis=1)
    return SlotMemory(highest, sure, np.stack(layout), values, ids, mask)
