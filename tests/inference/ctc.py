"""What a recogniser may have seen along a line, for tests of those who make text of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def steps(characters: Sequence[str], *pairs: dict[str, float]) -> npt.NDArray[np.float32]:
    """(steps, classes): the pairs' probabilities of characters; what a step lacks is blank, class 0."""
    rows = np.zeros((len(pairs), len(characters) + 1), dtype=np.float32)
    for row, pair in zip(rows, pairs, strict=True):
        for character, probability in pair.items():
            row[characters.index(character) + 1] = probability
        row[0] = 1 - row.sum()
    return rows
