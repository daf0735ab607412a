"""What a fine-tuning run reads: the pictures and what people said about their captions.

``imagefolder``  images/ and metadata.jsonl: ``datasets.load_dataset("imagefolder", data_dir=...)`` reads it
``csv``          images/ and feedback.csv; lists and options are JSON inside their cell; see common.tables
``parquet``      images/ and feedback.parquet; options are JSON inside their cell

Columns: file_name, text (the correction where there is one, else the caption), rating (1..5 or null), model,
checkpoint, options, words, user (a pseudonym), created_at (of the caption), rated_at, corrected_at,
corrected, caption (as the model wrote it), picture (a pseudonym), converted_from (the format the picture was
sent in, where that is not the one it is exported in). Times are UTC, ISO 8601, whole seconds. Every picture
opens in Pillow without anything added to it, and so in `datasets`: one that does not (HEIC, AVIF, one that
came damaged) is converted to what the model saw of it, every other keeps the bytes its sender sent. Where
they were not kept, file_name is null (an empty cell in CSV): load_dataset gives such a row with the image
None.

Beside the data: export.json (what it holds, and when it was made), and erased.jsonl, from which whoever holds
an earlier export learns what may no longer be used: its first row says when it was made, every other one
names a user or a picture by pseudonym and says since when.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from bot.feedback import private
from bot.feedback.database import StoreError
from bot.feedback.files import extension
from bot.feedback.reports import Feedback
from bot.feedback.store import Store
from bot.feedback.tables import Tombstone, now
from inference.common import tables
from inference.common.locks import Locked, locked
from inference.common.types import PictureError
from inference.pictures.opening import load_picture, opens_in_pillow, read_header

logger = logging.getLogger(__name__)

ExportFormat = Literal["imagefolder", "csv", "parquet"]

PART_SIZE = 49_000_000  # bytes: a bot may upload 50 MB to Telegram

_IMAGES = "images"
_REPORT = "export.json"  # also the mark of a folder that an export may replace
_ERASED = "erased.jsonl"
_METADATA = "metadata.jsonl"
_CSV = "feedback.csv"
_PARQUET = "feedback.parquet"
_PARTIAL = ".partial"
_OURS = frozenset({_IMAGES, _REPORT, _ERASED, _METADATA, _CSV, _PARQUET, _PARTIAL})
_BATCH = 200  # rows written at a time, off the event loop

# Formats that Pillow always knew, under suffixes that `datasets` takes for pictures.
_EVERYWHERE = frozenset({"jpg", "png", "gif", "webp", "bmp", "tiff", "jp2", "j2k"})
_WITHOUT_LOSS = frozenset({"png", "gif", "bmp", "tiff"})  # converted, they stay so

_COLUMNS = (
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
_Row = dict[str, Any]


class ExportError(StoreError):
    """The export cannot be made as asked: ``str()`` says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds. It lies beside the data as export.json."""

    format: ExportFormat
    rows: int  # one a person and caption
    without_pictures: int  # of them: the picture was not kept (no consent)
    pictures: int  # files; several rows may be about one
    since: str | None
    min_rating: int | None
    made_at: str

    def __str__(self) -> str:
        if not self.rows:
            return (
                "Nothing to export: no mark or correction fits. Ask for less with --since and --min-rating, "
                "or wait until somebody has rated a description."
            )
        text = f"{self.rows} rows, {self.pictures} pictures ({self.format})."
        if self.without_pictures:
            text += (
                f" {self.without_pictures} rows are without a picture (file_name is null), since its sender "
                "has not let it be kept; people change that by sending /privacy to the bot."
            )
        if not self.pictures and self.format == "imagefolder":
            text += (
                ' No row has a picture, so load_dataset("imagefolder") cannot read this folder; '
                'load_dataset("json", data_files="metadata.jsonl") can.'
            )
        return text


def parse_since(text: str) -> datetime:
    """An ISO 8601 date or date with time; UTC unless it names another zone. Raises ExportError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the year 0 or 10000 in UTC
        raise ExportError(f"{text!r} is not a date; write it like 2026-01-31 or 2026-01-31T18:00.") from error


async def export(
    store: Store,
    out: Path,
    *,
    format: ExportFormat = "imagefolder",
    since: datetime | None = None,
    min_rating: int | None = None,
) -> ExportReport:
    """Write one row a person and caption that has a mark or a correction into the folder ``out``.

    ``since``: only where the mark or the correction is not older (timezone-aware). ``min_rating`` (1..5):
    only where the mark is at least that; rows with a correction and no mark are kept as well. An earlier
    export in ``out`` is replaced once the new one is complete, so that nothing erased stays there.

    Raises ExportError when ``out`` holds anything else, cannot be written or is just being written to, or an
    argument is out of range.
    """
    if format not in get_args(ExportFormat):
        raise ExportError(f"There is no format {format!r}; use {', '.join(get_args(ExportFormat))}.")
    if min_rating is not None and min_rating not in range(1, 6):
        raise ExportError(f"A rating is between 1 and 5, not {min_rating}.")
    if since is not None and since.tzinfo is None:
        raise ExportError("The moment to export since needs a time zone.")
    try:
        await asyncio.to_thread(private.make_folder, out)
        with locked(out):
            return await _export(store, out, format, since, min_rating)
    except Locked as error:
        raise ExportError(
            f"Another export is being written to {out}; wait for it, or give another folder."
        ) from error
    except OSError as error:
        raise ExportError(f"The export cannot be written to {out} ({error}); give another folder.") from error


async def _export(
    store: Store, out: Path, export_format: ExportFormat, since: datetime | None, min_rating: int | None
) -> ExportReport:
    folder = await asyncio.to_thread(_prepare, out)
    made_at = now()  # before the first row is read: an erasure from here on makes this export an earlier one
    writer = _Writer(store, folder, export_format)
    try:
        batch: list[Feedback] = []
        async for item in store.reports.feedback(since=since, min_rating=min_rating):
            batch.append(item)
            if len(batch) == _BATCH:
                await asyncio.to_thread(writer.add, batch)
                batch = []
        await asyncio.to_thread(writer.add, batch)
    except BaseException:
        writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    writer.close()
    report = ExportReport(
        format=export_format,
        rows=writer.rows,
        without_pictures=writer.without_pictures,
        pictures=len(writer.pictures),
        since=_iso(since),
        min_rating=min_rating,
        made_at=made_at.isoformat(timespec="seconds"),
    )
    await asyncio.to_thread(_write_erased, folder / _ERASED, report.made_at, await store.tombstones.all())
    await asyncio.to_thread(_publish, folder, out, report)
    return report


def _prepare(out: Path) -> Path:
    """The folder beside the old export in which the new one grows."""
    names = {entry.name for entry in out.iterdir()} - {_PARTIAL}
    if names and (_REPORT not in names or names - _OURS):
        raise ExportError(f"{out} is not empty and is not an earlier export alone; give another folder.")
    partial = out / _PARTIAL
    if partial.exists():
        shutil.rmtree(partial)
    private.make_folder(partial / _IMAGES)
    return partial


def _write_erased(path: Path, made_at: str, tombstones: Sequence[Tombstone]) -> None:
    rows = [{one.kind: one.pseudonym, "erased_at": _iso(one.erased_at)} for one in tombstones]
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in [{"made_at": made_at}, *rows]), encoding="utf-8"
    )


def _publish(partial: Path, out: Path, report: ExportReport) -> None:
    for name in _OURS - {_PARTIAL, _REPORT}:
        old = out / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    # First, so that an export killed from here on can be made again in the same folder.
    with private.opened(out / _REPORT) as file:
        file.write((json.dumps(asdict(report), indent=2) + "\n").encode())
    for entry in partial.iterdir():
        private.close([entry])
        entry.rename(out / entry.name)
    partial.rmdir()


class _Table(Protocol):
    """A file of rows."""

    def write(self, rows: Sequence[_Row]) -> None: ...
    def close(self) -> None: ...


class _JsonLines:
    """Rows in their order, but the first one that fills a column stands before those that do not.

    `datasets` takes the columns' types from the first 10 MB, and fails later at a value in a column that was
    null until then.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._rest = tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent)  # noqa: SIM115
        self._filled: set[str] = set()

    def write(self, rows: Sequence[_Row]) -> None:
        for row in rows:
            filled = {name for name, value in row.items() if value is not None}
            file = self._rest if filled <= self._filled else self._file
            self._filled |= filled
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._rest.seek(0)
        shutil.copyfileobj(self._rest, self._file)
        self._rest.close()
        self._file.close()


class _Csv:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding=tables.ENCODING, newline="")
        self._table = tables.Writer(self._file, _COLUMNS)

    def write(self, rows: Sequence[_Row]) -> None:
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
        self._schema = pa.schema([(name, types.get(name, text)) for name in _COLUMNS])
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, rows: Sequence[_Row]) -> None:
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


class _Writer:
    """Turns feedback into rows and files. Blocking: for a thread."""

    def __init__(self, store: Store, folder: Path, export_format: ExportFormat) -> None:
        self.rows = 0
        self.without_pictures = 0
        # By the path of a kept picture that was copied: its file_name, and what it was converted from.
        self.pictures: dict[str, tuple[str, str | None]] = {}
        self._store = store
        self._folder = folder
        self._table: _Table
        if export_format == "csv":
            self._table = _Csv(folder / _CSV)
        elif export_format == "parquet":
            self._table = _Parquet(folder / _PARQUET)
        else:
            self._table = _JsonLines(folder / _METADATA)

    def add(self, batch: Sequence[Feedback]) -> None:
        rows = [self._row(item) for item in batch]
        self.rows += len(rows)
        self.without_pictures += sum(row["file_name"] is None for row in rows)
        self._table.write(rows)

    def close(self) -> None:
        self._table.close()

    def _row(self, item: Feedback) -> _Row:
        caption = item.caption
        file_name, converted_from = self._copy(item.picture.path)
        return {
            "file_name": file_name,
            "text": caption.text if item.correction is None else item.correction,
            "rating": item.mark,
            "model": caption.model,
            "checkpoint": caption.checkpoint,
            "options": caption.options,
            "words": caption.words,
            "user": item.user,
            "created_at": _iso(caption.created_at),
            "rated_at": _iso(item.rated_at),
            "corrected_at": _iso(item.corrected_at),
            "corrected": item.correction is not None,
            "caption": caption.text,
            "picture": self._store.pseudonyms.picture(item.picture.sha256),
            "converted_from": converted_from,
        }

    def _copy(self, path: str | None) -> tuple[str | None, str | None]:
        """The file_name of a kept picture, brought here once, and the format it was converted from, if any.

        No name: there is no picture (any more).
        """
        if path is None:
            return None, None
        if path not in self.pictures:
            try:
                data = self._store.pictures.file(path).read_bytes()
                content, suffix, converted_from = _exported(data)
            except FileNotFoundError:
                return None, None
            except PictureError as error:
                logger.warning("The kept picture %s is left out, nothing can open it: %s", path, error)
                return None, None
            name = f"{_IMAGES}/{Path(path).stem}.{suffix}"
            with private.opened(self._folder / name) as copy:
                copy.write(content)
            self.pictures[path] = name, converted_from
        return self.pictures[path]


def _exported(data: bytes) -> tuple[bytes, str, str | None]:
    """A picture as others can open it, its suffix, and the format it was in where that is another one.

    Raises PictureError.
    """
    sent = extension(data)
    if sent in _EVERYWHERE and opens_in_pillow(data):
        return data, sent, None
    if sent == "bin":
        sent = read_header(data).format.lower()
    file = BytesIO()
    image = load_picture(data).image
    if sent in _WITHOUT_LOSS:
        image.save(file, "PNG")
        return file.getvalue(), "png", sent
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue(), "jpg", sent


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


async def archive(folder: Path, into: Path, *, name: str = "feedback", limit: int = PART_SIZE) -> list[Path]:
    """Zip an export into one or more files of at most ``limit`` bytes in ``into``; returns them in order.

    Every part is a zip of its own; unpacked into one folder, all parts together give ``folder`` again.
    Raises ExportError when a single file does not fit, or the disk is full.
    """
    try:
        return await asyncio.to_thread(_archive, folder, into, name, limit)
    except OSError as error:
        raise ExportError(f"The archive cannot be written to {into} ({error}); free some space.") from error


def _archive(folder: Path, into: Path, name: str, limit: int) -> list[Path]:
    private.make_folder(into)
    # Tables first: whoever opens part 1 sees what the rest is.
    found = sorted((path for path in folder.rglob("*") if path.is_file()), key=_archive_order)
    parts: list[Path] = []
    part: zipfile.ZipFile | None = None
    size = 0
    try:
        for path in found:
            inner = path.relative_to(folder).as_posix()
            headers = 2 * len(inner.encode()) + 512  # more than zip needs
            if part is None or size + path.stat().st_size * 1001 // 1000 + headers > limit:
                if part is not None:
                    part.close()
                parts.append(into / f"{name}.{len(parts) + 1}.partial")
                private.touch(parts[-1])
                part = zipfile.ZipFile(parts[-1], "w", strict_timestamps=False)
                size = 512
            table = path.parent == folder  # pictures are compressed already
            part.write(path, inner, zipfile.ZIP_DEFLATED if table else zipfile.ZIP_STORED)
            size += part.getinfo(inner).compress_size + headers
        if part is not None:
            part.close()
        if any(done.stat().st_size > limit for done in parts):
            raise ExportError(
                f"A file of this export is larger than {limit // 1_000_000} MB even when packed; "
                "narrow it with a date or a rating, or run `python -m bot export` on the server."
            )
    except BaseException:
        if part is not None:
            part.close()
        for done in parts:
            done.unlink(missing_ok=True)
        raise
    names = (
        [f"{name}.zip"]
        if len(parts) == 1
        else [f"{name}-{number}-of-{len(parts)}.zip" for number in range(1, len(parts) + 1)]
    )
    return [done.replace(into / final) for done, final in zip(parts, names, strict=True)]


def _archive_order(path: Path) -> tuple[bool, str]:
    return path.parent.name == _IMAGES, path.as_posix()
