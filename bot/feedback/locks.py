"""What only one process at a time may do with a database and its data folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.feedback import private
from bot.feedback.database import StoreError
from inference.common.locks import Locked, locked

_EXPORT = "export"  # the folder in DATA_DIR where an archive is made
_EXPORT_LOCK = 0x6D656D67  # of PostgreSQL: any number that nobody else uses on this database


@contextmanager
def file_locked(database: Path, *, shared: bool = False) -> Iterator[None]:
    """No bot is at work with this SQLite file; ``shared``: none that wants to be alone. Raises Locked."""
    lock = Path(f"{database}.lock")
    private.touch(lock)
    with locked(lock, shared=shared):
        yield


class Locks:
    """The locks on one database and one DATA_DIR. All go with the process, whatever becomes of it."""

    def __init__(self, engine: AsyncEngine, data_dir: Path) -> None:
        self._engine = engine
        self._data_dir = data_dir

    @asynccontextmanager
    async def bot(self, *, alone: bool) -> AsyncIterator[None]:
        """A bot is at work with an SQLite file: ``alone``, or beside others that are not. Raises StoreError.

        The lock lies on a file beside the database: who opens and closes the database itself takes SQLite's
        own locks away. PostgreSQL has no such lock: its server may not notice for hours that a bot's machine
        is gone.
        """
        if self._engine.dialect.name != "sqlite":
            yield
            return
        async with self._engine.connect() as connection:
            file = (await connection.exec_driver_sql("PRAGMA database_list")).one().file
        try:
            with file_locked(Path(file), shared=not alone):
                yield
        except Locked as error:
            raise StoreError(
                f"Another bot is at work with the database {file}; stop it, or give this one another "
                "DATABASE_URL and DATA_DIR."
            ) from error

    @asynccontextmanager
    async def one_export(self) -> AsyncIterator[Path]:
        """An empty folder for an archive, which is deleted at the end, as is what a killed bot left there.

        Raises Locked while any bot of this database is at it.
        """
        folder = self._data_dir / _EXPORT
        with locked(self._data_dir):
            async with self._no_export_elsewhere():
                try:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                    await asyncio.to_thread(private.make_folder, folder)
                    yield folder
                finally:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def clear_export(self) -> None:
        """Delete what a bot that was killed left of an archive."""
        with suppress(Locked, OSError):
            async with self.one_export():
                pass

    @asynccontextmanager
    async def _no_export_elsewhere(self) -> AsyncIterator[None]:
        """No bot on another machine makes an archive of this database. Raises Locked when one does."""
        if self._engine.dialect.name == "sqlite":  # it is on this machine
            yield
            return
        # The server's lock goes with the connection, and with the bot.
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            if not await connection.scalar(select(func.pg_try_advisory_lock(_EXPORT_LOCK))):
                raise Locked("Another bot makes an archive.")
            try:
                yield
            finally:
                await connection.execute(select(func.pg_advisory_unlock(_EXPORT_LOCK)))
