"""The same picture twice: saved again, resized, with a logo in a corner. Found by perceptual hashes.

A picture of the test or val part must not be trained on, so from such a pair the training picture leaves; of
two training pictures the later one does. Pictures of val and test all stay, what is the same among them is
only reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["THRESHOLD", "Duplicate", "find_duplicates", "near_pairs"]

# Bits of 256. Of real memes' copies (saved again, half or a third of the size) nineteen in twenty differ in
# 12 at most; different words on one template differ in 18 at least.
THRESHOLD = 12
_HELD_OUT = {"test": 0, "val": 1}

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`picture` shows what `of` shows; `distance`: bits of 256 in which their hashes differ."""

    picture: str
    split: str
    of: str
    of_split: str
    distance: int
    left_out: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def near_pairs(hashes: Sequence[str], threshold: int) -> NDArray[np.int64]:
    """All pairs i < j of *different* hashes (64 hexadecimal digits each) that differ in at most `threshold`
    of their 256 bits: shape (pairs, 3), i, j, distance.

    Of `threshold + 1` parts of two such hashes at least one is the same (the pigeonhole), so only hashes that
    share a part are compared: far fewer than all pairs.
    """
    if not hashes:
        return np.zeros((0, 3), dtype=np.int64)
    data = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), -1)
    words: Words = np.ascontiguousarray(data).view(np.uint64)
    bits = np.unpackbits(data, axis=1)
    found = [np.zeros((0, 3), dtype=np.int64)]
    for part in np.array_split(np.arange(bits.shape[1]), min(threshold, bits.shape[1] - 1) + 1):
        keys = np.packbits(bits[:, part], axis=1)
        order = np.lexsort(keys.T)
        new = np.r_[True, (keys[order[1:]] != keys[order[:-1]]).any(axis=1), True]
        starts = np.flatnonzero(new)
        ends = np.repeat(starts[1:], np.diff(starts))  # of the run of equal keys, for each place
        places = np.arange(len(order))
        for lag in range(1, len(order)):
            places = places[places + lag < ends[places]]
            if not len(places):
                break
            pairs = np.sort(np.stack([order[places], order[places + lag]], axis=1), axis=1)
            distances = np.bitwise_count(words[pairs[:, 0]] ^ words[pairs[:, 1]]).sum(axis=1, dtype=np.int64)
            near = distances <= threshold
            found.append(np.concatenate([pairs[near], distances[near, None]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def find_duplicates(
    pictures: Mapping[str, tuple[str, str]],
    threshold: int = THRESHOLD,
    against: Mapping[str, str] | None = None,
) -> list[Duplicate]:
    """`pictures`: (split, hash) by name; `against`: hashes of pictures of other data sets that are held out
    there, by name. Each picture is the duplicate of at most one other, the nearest of those that stay.
    """
    others = [(name, "held out", key) for name, key in (against or {}).items()]
    # Those that stay in any case come first.
    own = sorted(
        ((name, split, key) for name, (split, key) in pictures.items()),
        key=lambda one: _HELD_OUT.get(one[1], 2),
    )
    ordered = [*others, *own]
    unique = list(dict.fromkeys(key for _, _, key in ordered))
    places = {key: i for i, key in enumerate(unique)}
    neighbours: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for i, j, distance in near_pairs(unique, threshold).tolist():
        neighbours[i].append((distance, j))
        neighbours[j].append((distance, i))

    staying: dict[int, tuple[str, str]] = {}  # by hash: the first picture that has it and stays
    duplicates = []
    for name, split, key in ordered:
        place = places[key]
        near = sorted([(0, place), *neighbours[place]])
        distance, other = next(((d, p) for d, p in near if p in staying), (0, None))
        left_out = split not in _HELD_OUT and split != "held out"
        if other is not None and split != "held out":
            duplicates.append(Duplicate(name, split, *staying[other], distance, left_out))
            if left_out:
                continue
        staying.setdefault(place, (name, split))
    return duplicates
