"""The bot's export as rows, in any of its formats, without what was erased since it was made.

An export taken before somebody was erased still holds what that person said. Every export carries the list of
all erasures so far (``erased.jsonl``): the list of a newer one tells what has to leave an older one. So an
export of more than a day ago is read only together with such a list.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from inference.checkpoints.manifest import sha256_of_folder
from inference.common import tables
from inference.common.errors import UserError
from inference.common.file_names import find
from inference.common.interpreter import PYTHON
from train_scripts.data.dataset import is_inside
from train_scripts.data.files import from_json, json_object

REPORT, ERASED = "export.json", "erased.jsonl"
TABLES = {"imagefolder": "metadata.jsonl", "csv": "feedback.csv", "parquet": "feedback.parquet"}
FRESH = timedelta(days=1)


class ExportError(UserError):
    """The export cannot be used: ``str()`` is one English sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one person said about one caption."""

    where: str  # "metadata.jsonl, line 3": for errors
    file_name: str | None  # None: the picture was not kept
    caption: str  # as the model wrote it
    correction: str | None
    rating: int | None  # 1..5
    model: str
    user: str  # pseudonym
    picture: str  # pseudonym; "" in exports of before there were any
    said_at: str  # ISO 8601: of the correction, or else of the mark


@dataclass(frozen=True, slots=True)
class Erasures:
    """Who was erased, and which pictures had to go, by pseudonym, until ``made_at``."""

    made_at: datetime
    users: frozenset[str]
    pictures: Mapping[str, datetime]  # since when: a picture may be kept again later


@dataclass(frozen=True, slots=True)
class Export:
    """An export as it may be used now."""

    folder: Path
    digest: str  # sha256 of all its files, 64 hexadecimal digits
    made_at: datetime
    rows: tuple[Row, ...]
    erased: int  # rows left out, since their author or their picture was erased


def read_export(folder: Path, erased: Path | None = None, *, now: datetime | None = None) -> Export:
    """Reads an export of `python -m bot export`; ``erased``: the erased.jsonl of a newer one.

    Raises ExportError: the folder is no export, a row is damaged, a picture is missing, or the export is
    older than a day and nothing says who was erased since.
    """
    made_at = _made_at(folder)
    own = folder / ERASED
    erasures = [read_erasures(path) for path in (own, erased) if path is not None and path.is_file()]
    if erased is not None and not erased.is_file():
        raise ExportError(f"{erased} is not there: give the erased.jsonl of a newer export.")
    known_until = max((one.made_at for one in erasures), default=made_at)
    if (now or datetime.now(UTC)) - known_until > FRESH:
        raise ExportError(
            f"{folder} was exported on {made_at:%Y-%m-%d}, and people may have asked to be erased since: "
            "export again, or give the erased.jsonl of an export of today with --erased."
        )
    users = frozenset(user for one in erasures for user in one.users)
    pictures = {name for one in erasures for name, moment in one.pictures.items() if moment >= made_at}
    everything = list(_rows(folder))
    rows = tuple(row for row in everything if row.user not in users and row.picture not in pictures)
    for row in rows:
        if row.file_name is not None and find(folder, row.file_name) is None:
            raise ExportError(
                f"{row.where} names {row.file_name}, which is not in {folder}: unpack all parts of the "
                "archive into one folder, or export again."
            )
    return Export(folder, sha256_of_folder(folder), made_at, rows, len(everything) - len(rows))


def read_erasures(path: Path) -> Erasures:
    """Reads an erased.jsonl. Raises ExportError when it is damaged."""
    made_at: datetime | None = None
    users, pictures = set(), {}
    for number, value in _json_lines(path):
        try:
            if "made_at" in value:
                made_at = _moment(value["made_at"])
            elif "user" in value:
                users.add(str(value["user"]))
            else:
                pictures[str(value["picture"])] = _moment(value["erased_at"])
        except (KeyError, TypeError, ValueError):
            raise ExportError(
                f"{path}, line {number}, names no user and no picture: take the file from the export anew."
            ) from None
    if made_at is None:
        raise ExportError(f"{path} does not say when it was made: take the file from the export anew.")
    return Erasures(made_at, frozenset(users), pictures)


def _made_at(folder: Path) -> datetime:
    path = folder / REPORT
    try:
        return _moment(from_json(path.read_text(encoding="utf-8"))["made_at"])
    except (FileNotFoundError, NotADirectoryError):
        raise ExportError(
            f"{folder} is no export of the bot (there is no {REPORT} in it): make one with "
            f"'{PYTHON} -m bot export --out FOLDER'."
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportError(f"{path} is damaged: export again.") from None


def _moment(text: Any) -> datetime:
    """In UTC, which is meant where no zone is told. Raises ValueError."""
    moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is before the year 1 or after 9999 in UTC") from None


def _rows(folder: Path) -> Iterator[Row]:
    table = next((folder / name for name in TABLES.values() if (folder / name).is_file()), None)
    if table is None:
        raise ExportError(
            f"{folder} holds none of {', '.join(TABLES.values())}: unpack all parts of the archive into one "
            "folder, or export again."
        )
    for number, value in _values(table):
        yield _row(
            f"{table.name}, line {number}," if table.suffix != ".parquet" else f"{table.name}, row {number},",
            value,
        )


def _values(table: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows as they stand there, with their numbers from 1 (lines of the file, where it has lines)."""
    if table.suffix == ".jsonl":
        yield from _json_lines(table)
    elif table.suffix == ".csv":
        try:
            # Of before cells were made harmless there is no mark at the beginning.
            with table.open(encoding="utf-8", newline="") as file:
                ours = file.read(1) == tables.BOM
            with table.open(encoding=tables.ENCODING, newline="") as file:
                reader = csv.DictReader(file, strict=True)
                for value in reader:
                    yield reader.line_num, _plain(value) if ours else value
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ExportError(f"{table} is damaged ({error}): export again.") from None
    else:
        import pyarrow as pa  # noqa: PLC0415 - large, and only this format needs it
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            values = pq.read_table(table).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise ExportError(f"{table} is damaged ({error}): export again.") from None
        yield from enumerate(values, start=1)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tables.plain(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        value = json_object(line)
        if value is None:
            raise ExportError(
                f"{path.name}, line {number}, is damaged (a write may have been cut short): export again, "
                "or remove the line."
            )
        yield number, value


def _row(where: str, value: Mapping[str, Any]) -> Row:
    def text(name: str) -> str:
        found = value.get(name)
        if found is not None and not isinstance(found, str):
            raise ValueError(name)
        return found or ""

    try:
        caption, own = text("caption"), text("text")
        corrected = _truth(value["corrected"])
        rating = _rating(value["rating"])
        if not caption.strip() or (corrected and not own.strip()):
            raise ValueError("caption" if not caption.strip() else "text")
        said_at = _said_at(value, "corrected_at" if corrected else "rated_at")
        name = text("file_name") or None
        if name is not None and not is_inside(name):
            raise ValueError("file_name")
        return Row(
            where,
            name,
            caption,
            own if corrected else None,
            rating,
            text("model"),
            text("user"),
            text("picture"),
            said_at.isoformat(),
        )
    except (KeyError, TypeError, ValueError) as error:
        column = error.args[0] if error.args and error.args[0] in value else None
        problem = f"has no usable {column!r}" if column else "lacks what a row of an export has"
        raise ExportError(f"{where} {problem}: export again, or remove the row.") from None


def _truth(value: Any) -> bool:
    """Tables write it in letters, and programs that write them again in others."""
    known = {"true": True, "false": False}.get(str(value).lower())
    if known is None:
        raise ValueError("corrected")
    return known


def _rating(mark: Any) -> int | None:
    """None where there is none; a table with empty cells may come back with 4.0 for 4."""
    if mark in (None, ""):
        return None
    try:
        number = float(mark)
    except (TypeError, ValueError):
        raise ValueError("rating") from None
    if isinstance(mark, bool) or number not in range(1, 6):  # nor is NaN
        raise ValueError("rating")
    return int(number)


def _said_at(value: Mapping[str, Any], column: str) -> datetime:
    try:
        return _moment(value[column])
    except ValueError:
        raise ValueError(column) from None
