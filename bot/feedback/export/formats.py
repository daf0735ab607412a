"""The files of rows, one a format."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bot.feedback.export.report import ExportFormat
from inference.common import tables

COLUMNS = (
    "file_name",
    "text",
    "rating",
    "model",
    "checkpoint",
    "options",
    "words",
    "user",
    "created_at",
    "rated_at",
    "corrected_at",
    "corrected",
    "caption",
    "picture",
    "converted_from",
)
Row = dict[str, Any]  # by the names of COLUMNS; moments as text


class Table(Protocol):
    """A file of rows."""

    def write(self, rows: Sequence[Row]) -> None: ...
    def close(self) -> None: ...


class _JsonLines:
    """Rows in their order, but the first one that fills a column stands before those that do not.

    `datasets` takes the columns' types from the first 10 MB, and fails later at a value in a column that was
    null until then.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._rest = tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent)  # noqa: SIM115
        self._empty = frozenset(COLUMNS)  # the columns that no row has filled yet

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if fills := [name for name in self._empty if row[name] is not None]:
                self._empty = self._empty.difference(fills)
            file = self._file if fills else self._rest
            file.write(_json(row) + "\n")

    def close(self) -> None:
        self._rest.seek(0)
        shutil.copyfileobj(self._rest, self._file)
        self._rest.close()
        self._file.close()


class _Csv:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding=tables.ENCODING, newline="")
        self._table = tables.Writer(self._file, COLUMNS)

    def write(self, rows: Sequence[Row]) -> None:
        self._table.write(
            row
            | {"options": _json(row["options"]), "words": _json(row["words"])}
            | {"corrected": str(row["corrected"]).lower()}
            for row in rows
        )

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # noqa: PLC0415 - large, and only this format needs it
        import pyarrow.parquet as pq  # noqa: PLC0415

        text, moment = pa.string(), pa.timestamp("ms", tz="UTC")
        types = {
            "rating": pa.int8(),
            "words": pa.list_(text),
            "created_at": moment,
            "rated_at": moment,
            "corrected_at": moment,
            "corrected": pa.bool_(),
        }
        self._batch = pa.RecordBatch
        self._schema = pa.schema([(name, types.get(name, text)) for name in COLUMNS])
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        moments = ("created_at", "rated_at", "corrected_at")
        converted = [
            row
            | {name: row[name] and datetime.fromisoformat(row[name]) for name in moments}
            | {"options": _json(row["options"])}
            for row in rows
        ]
        self._writer.write_batch(self._batch.from_pylist(converted, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


_TABLES: dict[ExportFormat, tuple[str, Callable[[Path], Table]]] = {
    "imagefolder": ("metadata.jsonl", _JsonLines),
    "csv": ("feedback.csv", _Csv),
    "parquet": ("feedback.parquet", _Parquet),
}
FILES = frozenset(name for name, _ in _TABLES.values())


def open_table(folder: Path, export_format: ExportFormat) -> Table:
    """A new file of rows in an export's folder."""
    name, kind = _TABLES[export_format]
    return kind(folder / name)


_json = json.JSONEncoder(ensure_ascii=False).encode  # made once: there are many rows
