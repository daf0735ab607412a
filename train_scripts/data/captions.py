"""Captions by picture, out of JSON lines or a CSV: references, and any system's predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inference.common.errors import UserError
from train_scripts.data.files import Row, json_rows, table_rows

__all__ = ["UserError", "read_captions", "read_references", "read_texts"]

METADATA = "metadata.jsonl"
_TABLES = frozenset({".csv", ".tsv"})


def _rows(path: Path, split: str | None) -> Iterator[tuple[str, Row]]:
    """The rows of the split, each with the words that say where it is."""
    if path.is_dir():
        path = path / METADATA
    rows = table_rows(path) if path.suffix.lower() in _TABLES else json_rows(path)
    found = 0
    splits: set[str] = set()
    others = 0
    for number, row in rows:
        # Exported feedback on a picture that was not kept: null, in a table an empty cell.
        if row.get("file_name", "") is None or (
            path.suffix.lower() in _TABLES and row.get("file_name") == ""
        ):
            continue
        if split is not None:
            own = row.get("split")
            if own != split:
                others += 1
                splits |= set() if own is None else {str(own)}
                continue
        found += 1
        yield f"{path}, line {number},", row
    if others and not found:
        known = ", ".join(sorted(splits))
        advice = f"choose one of {known}" if known else "its rows have none, so omit --split"
        raise UserError(f'{path} has no rows whose "split" is {split}: {advice}.')


def _name_and_text(where: str, row: Row, *, refused_as_empty: bool) -> tuple[str, str]:
    name, text = row.get("file_name"), row.get("text")
    if not isinstance(name, str) or not name:
        raise UserError(f'{where} has no "file_name": add the name of the picture it describes.')
    if text is None and refused_as_empty and "error" in row:
        text = ""
    if not isinstance(text, str):
        raise UserError(f'{where} has no "text" for {name}: add the caption as a string.')
    return name, text


def read_captions(path: Path, *, refused_as_empty: bool = False, split: str | None = None) -> dict[str, str]:
    """Reads one caption a picture, in the order of the file.

    `path`: JSON lines or a CSV (by its suffix: .csv, .tsv) whose rows hold `file_name` and `text` (others are
    not looked at), or an imagefolder with a `metadata.jsonl` in it. Blank lines are passed over, and rows
    whose `file_name` is null (exported feedback on a picture that was not kept). `refused_as_empty`: a row
    with `error` and no `text` (`python -m inference caption` writes one for a picture it cannot read) counts
    as an empty caption; otherwise it is an error. `split`: only rows whose `split` it is.

    Raises UserError for a file that cannot be read, a row that is not such an object, a picture named
    twice, and a file without rows.
    """
    captions: dict[str, str] = {}
    first_seen: dict[str, str] = {}
    for where, row in _rows(path, split):
        name, text = _name_and_text(where, row, refused_as_empty=refused_as_empty)
        if name in captions:
            line = first_seen[name].rpartition("line ")[2].rstrip(",")
            raise UserError(f"{where} repeats {name} of line {line}: keep one caption a picture.")
        captions[name] = text
        first_seen[name] = where
    if not captions:
        raise UserError(f"{path} has no rows: it must hold one caption a line.")
    return captions


def read_references(path: Path, *, split: str | None = None) -> dict[str, tuple[str, ...]]:
    """Reads the references of each picture, in the order of the file: one row each, several a picture.

    As `read_captions` otherwise; a reference that repeats another one of its picture counts once.
    """
    references: dict[str, dict[str, None]] = {}
    for where, row in _rows(path, split):
        name, text = _name_and_text(where, row, refused_as_empty=False)
        references.setdefault(name, {})[text] = None
    if not references:
        raise UserError(f"{path} has no rows: it must hold one caption a line.")
    return {name: tuple(texts) for name, texts in references.items()}


def read_texts(path: Path) -> list[str]:
    """The texts of JSON lines that need not name pictures, in their order. Raises UserError."""
    texts = []
    for number, row in json_rows(path):
        text = row.get("text")
        if not isinstance(text, str):
            raise UserError(f'{path}, line {number}, has no "text": add the caption as a string.')
        texts.append(text)
    return texts
