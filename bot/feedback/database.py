"""The connection to SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from bot.feedback import sqlite
from bot.feedback.prepared import Asked
from inference.common.errors import UserError
from inference.common.extras import NotInstalled, require

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
# The form of PostgreSQL's holds a password, which no sentence may show: also this one's would be taken out.
_ADDRESSES = "write for example sqlite+aiosqlite:///data/bot.db, or as .env.example shows for PostgreSQL"
_PICTURE_LOCK = 0x6D656D66  # of PostgreSQL: any number that nobody else uses on this database
_TURN, _TURNS = 0.05, 20  # seconds that an emptying of the journal waits, and how often
BESIDE = ("-wal", "-shm", "-journal", ".lock")  # what SQLite and we put beside a database


class StoreError(UserError):
    """The store cannot be opened or used: ``str()`` says why and what to do, in one sentence."""


class StoreAway(StoreError):  # noqa: N818 - a state
    """The store cannot be used just now, and may be later: a full disk, a lock, a server that is away."""


class NotStored(LookupError):  # noqa: N818 - a state, not a fault: somebody erased it in the meantime
    """The person, job or caption was erased. Stop, and say so if anybody waits."""


def database_url(address: str) -> URL:
    """DATABASE_URL with this project's driver. Raises StoreError when nothing can be kept there."""
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise StoreError(f"DATABASE_URL is not a database address; {_ADDRESSES}.") from error
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername not in _DRIVERS.values():
        raise StoreError(f"DATABASE_URL names {url.drivername}, which is not supported; {_ADDRESSES}.")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError(
            "DATABASE_URL names a database in memory, which forgets accepted pictures at the first restart; "
            "name a file, for example sqlite+aiosqlite:///data/bot.db."
        )
    return url


def create_engine(url: URL) -> AsyncEngine:
    """An engine with its connections set up. Raises StoreError when the driver is missing."""
    if url.get_backend_name() == "sqlite":
        # None above the pool's size: those would be opened anew at every rush.
        engine = create_async_engine(url, async_creator=partial(sqlite.connect, url), max_overflow=0)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    try:
        require("postgres", "DATABASE_URL")
    except NotInstalled as error:
        raise StoreError(str(error)) from error
    return create_async_engine(url, pool_pre_ping=True)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads before it writes must lock first: SQLite refuses to upgrade it later.
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    if mode is not None:
        cast("sqlite.Connection", connection.connection.driver_connection).begin(mode)


def lock_pictures(connection: Asked, *, exclusive: bool = False) -> None:
    """Until the transaction ends, nobody who erases (``exclusive``) meets anybody who adds a caption.

    An erasure decides by other people's rows whether a picture goes; those must not change meanwhile. On
    SQLite every writing transaction is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock if exclusive else func.pg_advisory_xact_lock_shared
        connection.execute(select(lock(_PICTURE_LOCK)))


async def lock_pictures_exclusively(session: AsyncSession) -> None:
    """The same for a session, which erases."""
    await (await session.connection()).run_sync(partial(lock_pictures, exclusive=True))


async def truncate_journal(engine: AsyncEngine) -> None:
    """Empty SQLite's write-ahead journal, so that what was erased does not live on in it.

    When somebody is reading for longer than two seconds, it is left to SQLite to do that later.
    """
    async with engine.execution_options(sqlite_begin=None).connect() as connection:
        # Nobody may write while SQLite waits for readers to truncate it. So what can be done without that is
        # done before, and it waits in short turns.
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {_TURN * 1000:.0f}")
        for _ in range(_TURNS):
            busy = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).scalar_one()
            if not busy:
                break
            await asyncio.sleep(_TURN)
        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {sqlite.WAIT}")


def sqlite_file(url: URL) -> Path | None:
    """Where the database lies; None: it is no file of this machine."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    if url.database.startswith("file:"):
        return Path(unquote(urlsplit(url.database).path))
    return Path(url.database)
