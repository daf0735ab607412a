"""The one format that every source becomes: a folder with `images/` and `metadata.jsonl`.

A row is one caption of one picture: `file_name` (relative to the folder), `text` (Russian), `split`
("train", "val", "test"), `source` (what it was read from), `original` (the text before it was translated, or
null). Other keys are the source's own. It is what `datasets.load_dataset("imagefolder", data_dir=…)` reads.
A folder with one file a split (`train.jsonl`, `val.jsonl`) is read as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inference.common.errors import UserError
from inference.common.file_names import picture_of
from train_scripts.data.captions import METADATA
from train_scripts.data.files import json_rows

__all__ = ["SPLITS", "DataRow", "is_inside", "read_split"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class DataRow:
    """One caption of one picture."""

    picture: Path
    file_name: str
    text: str
    split: str
    source: str | None = None
    original: str | None = None


def is_inside(name: str) -> bool:
    """Whether a file name from outside stays in the folder it is relative to."""
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in Path(name).parts


def read_split(folder: Path, split: str) -> list[DataRow]:
    """The rows of one split, in the order of the file.

    Raises UserError, with file and line, for a row without a file_name or text, for a file_name that
    leaves the folder, and where there is no such split.
    """
    path = folder / METADATA
    whole = path.is_file()  # one file for all splits
    if not whole:
        path = folder / f"{split}.jsonl"
    rows = []
    for number, row in json_rows(path):
        if whole and row.get("split", "train") != split:
            continue
        name, text = row.get("file_name"), row.get("text")
        if name is None and "file_name" in row:  # exported feedback on a picture that was not kept
            continue
        if not isinstance(name, str) or not is_inside(name):
            raise UserError(
                f'{path}, line {number}, has no "file_name" inside {folder}: mend or remove the line.'
            )
        if not isinstance(text, str):
            raise UserError(f'{path}, line {number}, has no "text" for {name}: mend or remove the line.')
        picture = picture_of(folder, name)
        rows.append(DataRow(picture, name, text, split, row.get("source"), row.get("original")))
    if not rows:
        raise UserError(f"{path} has no rows of the split {split}: choose another, or prepare the data.")
    return rows
