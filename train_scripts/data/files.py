"""Rows out of text files, each with its line, so that an error can say where it is."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference.common import tables
from inference.common.errors import UserError
from inference.common.json_lines import from_json, json_object

__all__ = [
    "from_json",
    "json_document",
    "json_object",
    "json_rows",
    "table_rows",
    "text_lines",
]

Row = dict[str, Any]

# A cell may hold a long text; csv's own limit is 128 kB.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

_END = "\x1eend of the table"  # a line that no table has


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from None


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1. Raises UserError."""
    for number, raw in enumerate(_bytes(path).split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise UserError(f"{path}, line {number}, is not UTF-8: save the file as UTF-8.") from None
        if line:
            yield number, line


def json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The objects of a file of JSON lines, with their lines. Raises UserError."""
    for number, line in text_lines(path):
        try:
            row = from_json(line)
        except ValueError:
            raise UserError(
                f"{path}, line {number}, is not valid JSON: mend or remove the line "
                "(a write may have been cut short)."
            ) from None
        if not isinstance(row, dict):
            raise UserError(
                f'{path}, line {number}, is not an object: each row must be {{"file_name": …, "text": …}}.'
            )
        yield number, row


def json_document(path: Path) -> Any:
    """A whole JSON file. Raises UserError."""
    data = _bytes(path)
    try:
        return from_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8: save the file as UTF-8.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): fetch the file again.") from None


class _Plain(csv.excel):
    quoting = csv.QUOTE_NONE


def _is_quoted(text: str, separator: str) -> bool:
    """Whether all quotation marks at the beginning of a cell are those of a table."""
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            pass
    except csv.Error:
        return False
    return True


def table_rows(path: Path, *, separator: str | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a CSV file as dicts by the names in its first line, with the line each begins at.

    `separator`: one character; None: the one of tab, semicolon, bar and comma that the first line holds most
    often. Quotation marks of a table by tabs belong to the text where not every cell that begins with one
    ends with one. A cell that is missing at the end of a row is None; surplus cells are under None. Names
    lose the white space around them, cells keep theirs; in a table of :mod:`inference.common.tables`, which
    begins with a byte order mark, they are the texts that were written. Raises UserError.
    """
    data = _bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {number}, is not UTF-8: save the file as UTF-8.") from None
    ours = data.startswith(codecs.BOM_UTF8)
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = separator or max("\t;|,", key=head.count)
    plain = separator == "\t" and not _is_quoted(text, separator)
    # Behind an open quotation mark the last line would be a part of that cell.
    lines = io.StringIO(f"{text}\n{_END}", newline="")
    dialect: type[csv.Dialect] = _Plain if plain else csv.excel
    reader = csv.reader(lines, dialect, delimiter=separator)
    names: list[str] | None = None
    before = 0
    try:
        for cells in reader:
            number, before = before + 1, reader.line_num
            if cells == [_END]:
                return
            if any(_END in cell for cell in cells):
                raise UserError(
                    f"{path}, line {number}, has a quotation mark that is never closed: close it, or double "
                    "the marks that belong to the text."
                )
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                twice = next((name for name in names if name and names.count(name) > 1), None)
                if twice is not None:
                    raise UserError(f"{path} has two columns named {twice}: rename one of them.")
                continue
            texts = map(tables.plain, cells) if ours else cells
            row: Row = dict(zip(names, texts, strict=False))
            row.update(dict.fromkeys(names[len(cells) :]))
            if len(cells) > len(names):
                row[None] = cells[len(names) :]  # type: ignore[index]  # as csv.DictReader does
            yield number, row
    except csv.Error as error:
        raise UserError(f"{path}, line {before + 1}, is no row of a table ({error}): mend it.") from None
