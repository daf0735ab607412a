"""From what the recogniser saw along a line to its text: the best path of CTC (Graves et al. 2006,
doi:10.1145/1143844.1143891), and letters on their own, which that path loses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_LOST = 0.05  # probability of a character between two spaces that was there
_SPACE = 0.3  # probability of a space on its side
_GAP = 3  # steps that two spaces and a character take at least


def decode(probabilities: Floats, characters: Sequence[str]) -> tuple[str, list[float], list[float]]:
    """The best path of CTC through (steps, classes): the text, for each character its probability 0..1 and
    its place, 0..1 of the line's steps. ``characters[i]`` is class ``i + 1``.

    A letter or a dash on its own is too narrow to win a step from the spaces around it; the likeliest one
    between two spaces is taken, its probability being that among the characters.
    """
    classes, best = probabilities.argmax(axis=-1), probabilities.max(axis=-1, initial=0.0)
    space = characters.index(" ") + 1 if " " in characters else -1
    found: list[tuple[int, float, int]] = []  # class, probability, step
    before = 0
    gap = 0  # the first step since the last character that is no space
    for step, (number, probability) in enumerate(zip(classes.tolist(), best.tolist(), strict=True)):
        if number not in (0, space):
            if (number != before or gap < step) and step - gap >= _GAP and space > 0:
                found = _with_lost(found, probabilities[gap:step], gap, space)
            gap = step + 1
        if number and number != before:
            found.append((number, probability, step))
        elif number:
            found[-1] = (number, max(found[-1][1], probability), found[-1][2])
        before = number
    return (
        "".join(characters[number - 1] for number, _, _ in found),
        [probability for _, probability, _ in found],
        [(step + 0.5) / len(classes) for _, _, step in found],
    )


def _with_lost(
    found: list[tuple[int, float, int]], gap: Floats, start: int, space: int
) -> list[tuple[int, float, int]]:
    """``found`` with the character that the steps ``gap`` (from step ``start``) hide between two spaces;
    where a line begins nothing need stand before it. At its end too much else looks like a letter.
    """
    spaces = np.flatnonzero(gap[:, space] >= _SPACE).tolist()
    kept = found[:]
    while kept and kept[-1][0] == space:
        kept.pop()
    if not spaces:
        return found
    first = spaces[0] if kept else -1
    last = spaces[-1]
    if last - first < 2:
        return found
    inner = gap[first + 1 : last].copy()
    inner[:, [0, space]] = 0
    step, number = divmod(int(inner.argmax()), inner.shape[1])
    if inner[step, number] < _LOST:
        return found
    sure = float(inner[step, number] / inner[step].sum())
    lost = [(number, sure, start + first + 1 + step), (space, float(gap[last, space]), start + last)]
    if kept:
        lost.insert(0, (space, float(gap[first, space]), start + first))
    return [*kept, *lost]
