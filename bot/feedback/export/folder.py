"""Makes an export, and puts it in the place of an earlier one only when it is whole."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TypeVar, get_args

from bot.feedback import private
from bot.feedback.export.formats import FILES
from bot.feedback.export.pictures import IMAGES
from bot.feedback.export.report import ExportError, ExportFormat, ExportReport
from bot.feedback.export.rows import TURNS, Rows
from bot.feedback.store import Store
from bot.feedback.tables import iso, now
from bot.feedback.tombstones import write_tombstones
from inference.common.locks import Locked, locked

_Item = TypeVar("_Item")

_REPORT = "export.json"  # also the mark of a folder that an export may replace
_ERASED = "erased.jsonl"
_PARTIAL = ".partial"
_OURS = frozenset({IMAGES, _REPORT, _ERASED, _PARTIAL, TURNS, *FILES})
_BATCH = 200  # rows written at a time, off the event loop


async def export(
    store: Store,
    out: Path,
    *,
    format: ExportFormat = "imagefolder",
    since: datetime | None = None,
    min_rating: int | None = None,
) -> ExportReport:
    """Write one row a person and caption that has a mark or a correction into the folder ``out``, and one a
    question that was answered.

    ``since``: only where the mark, the correction or the answer is not older (timezone-aware). ``min_rating``
    (1..5): only where the mark is at least that; rows with a correction and no mark are kept as well, and the
    questions, which have no marks. An earlier
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
    rows = Rows(store, folder, export_format)
    try:
        await _in_batches(store.reports.feedback(since=since, min_rating=min_rating), rows.add)
        await _in_batches(store.reports.turns(since=since), rows.add_turns)
    except BaseException:
        rows.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    rows.close()
    report = ExportReport(
        format=export_format,
        rows=rows.count,
        without_pictures=rows.without_pictures,
        pictures=len(rows.copies),
        turns=rows.turns,
        since=iso(since),
        min_rating=min_rating,
        made_at=iso(made_at),
    )
    erased = write_tombstones(made_at, await store.tombstones.all())
    await asyncio.to_thread((folder / _ERASED).write_text, erased, encoding="utf-8")
    await asyncio.to_thread(_publish, folder, out, report)
    return report


async def _in_batches(items: AsyncIterator[_Item], add: Callable[[Sequence[_Item]], None]) -> None:
    """Add all of them, off the event loop."""
    batch: list[_Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            await asyncio.to_thread(add, batch)
            batch = []
    await asyncio.to_thread(add, batch)


def _prepare(out: Path) -> Path:
    """The folder beside the old export in which the new one grows."""
    names = {entry.name for entry in out.iterdir()} - {_PARTIAL}
    if names and (_REPORT not in names or names - _OURS):
        raise ExportError(f"{out} is not empty and is not an earlier export alone; give another folder.")
    partial = out / _PARTIAL
    if partial.exists():
        shutil.rmtree(partial)
    private.make_folder(partial / IMAGES)
    return partial


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
