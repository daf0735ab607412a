"""The rows of a run and the order in which they are learned from."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.common.errors import UserError
from inference.common.file_names import picture_of
from train_scripts.data.captions import METADATA
from train_scripts.data.dataset import is_inside
from train_scripts.data.files import json_rows

__all__ = [
    "TrainRow",
    "batches_of",
    "digest_of",
    "first_rows",
    "hash_of",
    "held_out",
    "read_rows",
    "references_of",
    "shares",
]

_WINDOW = 40  # batches among which captions of like length are put together


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One caption of one picture. ``weight`` (>= 0) multiplies its loss; ``where``: file and line."""

    picture: Path
    file_name: str
    text: str
    weight: float
    where: str


def read_rows(folder: Path, split: str) -> list[TrainRow]:
    """The rows of one split of a data set, in the order of the file; [] when it has no such split.

    `folder`: with ``metadata.jsonl``, whose rows without a ``split`` are of train; or with ``train.jsonl``,
    ``val.jsonl``. A row may have a ``weight``. Rows whose ``file_name`` is null (exported feedback on a
    picture that was not kept) hold nothing to learn from.

    Raises UserError, with file and line, for everything that is wrong with a row, and for a picture
    that is not there.
    """
    path = folder / METADATA
    whole = path.is_file()
    if not whole:
        path = folder / f"{split}.jsonl"
        if not path.is_file():
            if split == "train":
                raise UserError(
                    f"{folder} holds no data: it needs {METADATA}, or train.jsonl (see 'train_scripts "
                    "prepare')."
                )
            return []
    rows = []
    for number, row in json_rows(path):
        where = f"{path}, line {number}"
        if whole and row.get("split", "train") != split:
            continue
        name, text, weight = row.get("file_name"), row.get("text"), row.get("weight", 1.0)
        if name is None and "file_name" in row:
            continue
        if not isinstance(name, str) or not is_inside(name):
            raise UserError(f'{where}, has no "file_name" inside {folder}: mend or remove the line.')
        if not isinstance(text, str) or not text.strip():
            raise UserError(f'{where}, has no "text" for {name}: mend or remove the line.')
        number_like = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number_like or not math.isfinite(weight) or weight < 0:
            raise UserError(f'{where}, has the "weight" {weight!r} for {name}: write a number of at least 0.')
        picture = picture_of(folder, name)
        if not picture.is_file():
            raise UserError(
                f"{where}, names the picture {name}, which is not in {folder}: add it or remove the line."
            )
        rows.append(TrainRow(picture, name, text, float(weight), where))
    return rows


def held_out(names: Iterable[str], count: int) -> set[str]:
    """So many of the pictures named, the same ones for all that learn from them."""
    return set(sorted({*names}, key=lambda name: hash_of("held out", name))[:count])


def hash_of(*parts: object) -> int:
    """63 bits, the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def first_rows(rows: Sequence[TrainRow]) -> list[TrainRow]:
    """One row a picture, the first."""
    seen: dict[Path, TrainRow] = {}
    for row in rows:
        seen.setdefault(row.picture, row)
    return list(seen.values())


def references_of(rows: Iterable[TrainRow], shown: Iterable[TrainRow]) -> dict[str, list[str]]:
    """By path: every caption that ``rows`` have of the pictures ``shown``."""
    references: dict[str, list[str]] = {str(row.picture): [] for row in shown}
    for row in rows:
        if str(row.picture) in references:
            references[str(row.picture)].append(row.text)
    return references


def batches_of(
    lengths: Sequence[int], size: int, *, seed: str, pairs: int = 0, least: int = 1
) -> list[list[int]]:
    """The rows of an epoch in batches of at most ``size``, as even as can be, in an order that only ``seed``
    decides.

    Captions of like length stand together, chosen among some batches of the shuffled rows: padding is work
    for nothing. ``pairs``: only so many rows, others in each epoch; 0: all. ``least``: where batches would
    have fewer rows than this, some are larger than ``size`` instead.
    """
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    if pairs:
        order = order[:pairs]
    count = max(1, min(math.ceil(len(order) / size), len(order) // least))
    even = shares(order, count)
    batches: list[list[int]] = []
    for start in range(0, count, _WINDOW):
        together = even[start : start + _WINDOW]
        window = sorted((i for batch in together for i in batch), key=lambda i: (lengths[i], i))
        batches += shares(window, len(together))
    chance.shuffle(batches)
    return batches


def shares(rows: Sequence[int], parts: int) -> list[list[int]]:
    """The rows in so many parts whose sizes differ by at most one; a part may be empty."""
    return [part.tolist() for part in np.array_split(np.asarray(rows, dtype=np.int64), parts)]


def digest_of(rows: Iterable[TrainRow]) -> str:
    """What was learned from, in 16 hexadecimal digits."""

    told = [[row.file_name, row.text, row.weight] for row in rows]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:16]
