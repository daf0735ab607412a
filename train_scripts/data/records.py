"""What a reader of a source yields: captions of pictures, and the rows it could not use, each with its place.

Readers say what is there. Whether the pictures can be opened, which of them are the same, and how texts are
translated is `train_scripts.data.prepare`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.common.errors import UserError
from inference.common.file_names import find

__all__ = ["Item", "Record", "Refused", "UserError", "find_picture", "split_name"]


@dataclass(frozen=True, slots=True)
class Record:
    """One caption of one picture."""

    where: str  # file and line, or what the source calls the row
    name: str  # of the picture, as the source calls it
    picture: Path | None  # its file; None: it is not there
    text: str | None  # in Russian
    source: str
    original: str | None = None  # in English
    split: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # further columns of its row


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is left out. `reason`: a few words, the same for all of a kind; `sentence` names the row."""

    where: str
    reason: str
    sentence: str


Item = Record | Refused
Items = Iterator[Item]

_SPLITS = {
    "train": "train", "training": "train", "restval": "train",  # Karpathy: for training too
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_name(name: object) -> str | None:
    """ "train", "val" or "test" for what sources call them; None for anything else."""
    return _SPLITS.get(str(name).strip().lower()) if name is not None else None


def find_picture(folder: Path, *names: str) -> Path | None:
    """The first of the files in the folder that the names mean (:func:`inference.common.file_names.find`)."""
    return next((path for name in names if name and (path := find(folder, name)) is not None), None)
