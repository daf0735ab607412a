"""What the decoder is told of pictures: numbers and words of their lines, padded to one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.decoders.slot_prefix import SlotMemory
from inference.reading.features import LINE_FEATURES, MAX_LINES
from inference.reading.reading import Reading
from inference.russian.lexicon import bare
from inference.tokenizers.slots import SPECIAL, SlotTokenizer

MAX_LINE_WORDS = 12


def line_word_ids(reading: Reading, tokenizer: SlotTokenizer) -> np.ndarray[Any, Any]:
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
    probabilities: Tensor,
    shown: int,
    layout: Sequence[np.ndarray[Any, Any]],
    features: Sequence[np.ndarray[Any, Any]],
    words: Sequence[np.ndarray[Any, Any]],
) -> SlotMemory:
    """One memory of n pictures, their lines padded to the most lines among them.

    ``probabilities`` (n, concepts), of which the ``shown`` highest are told.
    """
    n, m = len(features), max((len(one) for one in features), default=0)
    values = torch.zeros(n, m, LINE_FEATURES)
    ids = torch.zeros(n, m, MAX_LINE_WORDS, dtype=torch.long)
    mask = torch.zeros(n, m, dtype=torch.bool)
    for i, (one, own) in enumerate(zip(features, words, strict=True)):
        values[i, : len(one)] = torch.from_numpy(one)
        ids[i, : len(one)] = torch.from_numpy(own)
        mask[i, : len(one)] = True
    highest = probabilities.topk(min(shown, probabilities.shape[1]), dim=1)
    return SlotMemory(highest.indices, highest.values, torch.from_numpy(np.stack(layout)), values, ids, mask)
