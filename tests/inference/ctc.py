"""What a recogniser may have seen along a line, for tests of those who make text of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def steps(characters: Sequence[str], *pairs: dict[str, float]) -> torch.Tensor:
    """(steps, classes): the pairs' probabilities of characters; what a step lacks is blank, class 0."""
    rows = torch.zeros(len(pairs), len(characters) + 1)
    for row, pair in zip(rows, pairs, strict=True):
        for character, probability in pair.items():
            row[characters.index(character) + 1] = probability
        row[0] = 1 - row.sum()
    return rows
