"""What ``python -m bot backup | restore | restored`` do. Each returns the text to print, for the operator.

All raise StoreError (BackupError is one), whose text is one sentence that says what to do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.feedback.backup.archive import Tell
from bot.feedback.backup.making import back_up
from bot.feedback.backup.restoring import restore
from bot.feedback.backup.settling import read_erased, settle
from bot.feedback.commands import check_there, open_store
from bot.feedback.database import StoreError, database_url, sqlite_file
from bot.feedback.tables import now


def run_backup(url: str, data_dir: Path, out: Path, tell: Tell) -> str:
    """Write the store as one file ``out``."""
    file = _sqlite_file(url)
    check_there(file)
    if out.is_dir():
        raise StoreError(f"{out} is a folder: give the file to write.")
    with _said(f"The backup cannot be written to {out}"):
        try:
            return f"{out}: {back_up(file, data_dir, out, tell)}"
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            raise StoreError(
                f"The database {file} is damaged ({error}); restore an earlier backup."
            ) from error


def run_restore(
    url: str, data_dir: Path, file: Path, tell: Tell, *, force: bool = False, erased: Path | None = None
) -> str:
    """Put a backup in the place of the store."""
    database = _sqlite_file(url)
    if file.is_dir():
        raise StoreError(f"{file} is a folder: give the file that `backup` wrote.")
    with _said(f"The backup cannot be restored to {database} and {data_dir}"):
        return restore(file, database, data_dir, force=force, erased=read_erased(erased), tell=tell)


def run_restored(url: str, data_dir: Path, *, erased: Path | None = None) -> str:
    """Make a store fit to be used whose database was restored by other means."""

    async def run() -> str:
        buried = read_erased(erased)
        async with await open_store(url, data_dir) as store, store.locks.bot(alone=True):
            settled = await settle(store, asked_until=now(), erased=buried)
            strays = await store.pictures.remove_strays()
        return f"{settled} {strays} kept pictures that no row names are deleted."

    return asyncio.run(run())


def _sqlite_file(url: str) -> Path:
    file = sqlite_file(database_url(url))
    if file is None:
        raise StoreError(
            "This command is for SQLite: PostgreSQL has pg_dump and pg_restore, as docs/operating.md says."
        )
    return file


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Says what the system or SQLite itself says as a sentence for the operator."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{what} ({error}); check the space and rights there.") from error
