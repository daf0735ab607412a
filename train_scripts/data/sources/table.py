"""Any table: CSV, TSV or JSON lines with a column for the picture and one for the text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inference.common.errors import UserError
from train_scripts.data.files import json_rows, table_rows
from train_scripts.data.records import Items, Record, Refused, find_picture, split_name

__all__ = ["Columns", "read_table"]


_ENDINGS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
)  # of names that lack theirs, as the meme project's table has them


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns; those of `split`, `original` and `source` need not be there."""

    picture: str = "file_name"
    text: str = "text"
    split: str = "split"
    original: str = "original"
    source: str = "source"


def read_table(
    file: Path,
    pictures: Path | None = None,
    *,
    columns: Columns | None = None,
    english: bool = False,
    separator: str | None = None,
    split: str | None = None,
) -> Items:
    """`pictures`: the folder that the names start from; None: the one of the file. A name may lack the ending
    of its file. `english`: the text column is to be translated. Rows without a split have `split`, or that of
    a file called train, val or test. Rows with a null picture (exported feedback on a picture that was not
    kept) are refused by that reason.

    Raises UserError.
    """
    columns = columns or Columns()
    folder = pictures or file.parent
    is_table = file.suffix.lower() not in {".jsonl", ".ndjson", ".json"}
    rows = table_rows(file, separator=separator) if is_table else json_rows(file)
    of_file = split or split_name(file.stem)
    for number, row in rows:
        where = f"{file}, line {number}"
        for column in (columns.picture, columns.text):
            if column not in row and is_table:
                raise UserError(
                    f"{file} has no column {column}: name the columns with --picture and --text "
                    f"(it has {', '.join(str(name) for name in row if name is not None)})."
                )
        name, text = row.get(columns.picture), row.get(columns.text)
        if name is None and columns.picture in row:
            yield Refused(where, "picture not kept", f"{where}, is about a picture that was not kept.")
        elif None in row:
            yield Refused(where, "damaged row", f"{where}, has more cells than the table has columns.")
        elif not isinstance(name, str) or not name.strip():
            yield Refused(where, "damaged row", f"{where}, names no picture ({columns.picture}).")
        elif text is not None and not isinstance(text, str):
            yield Refused(where, "damaged row", f"{where}, has no text for {name} ({columns.text}).")
        else:
            told = row.get(columns.split)
            own = split_name(told) if told not in (None, "") else of_file
            if told not in (None, "") and own is None:
                yield Refused(
                    where, "damaged row", f"{where}, is of the split {told}: use train, val or test."
                )
                continue
            original, source = row.get(columns.original), row.get(columns.source)
            text = (text or "").strip() or None
            name, picture = _found(folder, name.strip())
            yield Record(
                where,
                name,
                picture,
                None if english else text,
                source if isinstance(source, str) and source else file.stem,
                text if english else (original if isinstance(original, str) and original else None),
                own,
            )


def _found(folder: Path, name: str) -> tuple[str, Path | None]:
    """The picture's whole name, and its file; None: there is none."""
    for whole in (name, *(f"{name}{ending}" for ending in _ENDINGS)):
        if (picture := find_picture(folder, whole)) is not None:
            return whole, picture
    return name, None
