"""SQLite's connections: each has a thread, which a statement asks once.

aiosqlite asks it for every step: a cursor, the statement, its rows, the end of the cursor; and so does
SQLAlchemy for BEGIN, and for taking back what is committed already. For the smallest transaction that is nine
times there and back. Here BEGIN goes along with the first statement, and the rows come back with each.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import aiosqlite
from sqlalchemy.engine import URL

WAIT = 30_000  # milliseconds for another process's write (an export beside the bot) to end
_AT_ONCE = 500  # rows that come back with their statement; the others follow in such portions

_Row = tuple[Any, ...]
_Result = TypeVar("_Result")


async def connect(url: URL) -> Connection:
    """A connection for SQLAlchemy. Raises sqlite3.Error."""
    arguments, options = url.get_dialect()().create_connect_args(url)
    connection = Connection(partial(_open, *arguments, **options))
    connection.daemonic()
    try:
        await connection
    except sqlite3.Error:
        # Its thread was told to stop and answers to this loop, which a command that fails is about to close.
        await connection.ended()
        raise
    return connection


def _open(file: str, **options: Any) -> sqlite3.Connection:
    # The driver's own habit is to begin a transaction late, and not at all before DDL: we begin ourselves.
    connection: sqlite3.Connection = sqlite3.connect(file, **options | {"isolation_level": None})
    for pragma in (
        f"busy_timeout = {WAIT}",
        "journal_mode = WAL",  # readers and the writer do not wait for each other
        "synchronous = FULL",  # an acknowledged picture survives a power cut too
        "foreign_keys = ON",
        "secure_delete = ON",  # what a person had erased is overwritten, not only unlinked
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Connection(aiosqlite.Connection):
    """aiosqlite's, as far as SQLAlchemy asks for anything."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, _AT_ONCE)
        self._begin = ""  # for the next statement to take along
        self._begun = False

    def daemonic(self) -> None:
        """Let the process end without waiting for this connection's thread."""
        self._thread.daemon = True

    async def ended(self) -> None:
        """Wait until this connection's thread, which was told to stop, has done so."""
        await asyncio.to_thread(self._thread.join)

    def begin(self, mode: str) -> None:
        """Begin a transaction with the next statement; ``mode``: DEFERRED, IMMEDIATE or EXCLUSIVE."""
        self._begin = f"BEGIN {mode}"

    def cursor(self) -> Cursor:  # type: ignore[override] # for aiosqlite's own the thread is asked
        """What a statement is run with."""
        return Cursor(self)

    async def run(self, statement: Callable[[sqlite3.Connection], None]) -> None:
        """Run this in the thread, at the beginning of the transaction if one is to begin."""
        begin, self._begin = self._begin, ""
        # Said before it is true: whoever is cancelled meanwhile has a transaction to take back.
        self._begun = self._begun or begin != ""
        await self._ask(partial(_run, self._conn, begin, statement))

    async def work(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """What this returns, which is run in the thread, and ends the transaction that it begins."""
        try:
            result: _Result = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]  # as below
        except asyncio.CancelledError:
            # A thread cannot be told to stop: until it has done so, nobody else shall write.
            await self._ask(_nothing)
            raise
        return result

    async def commit(self) -> None:
        """End the transaction, if there is one."""
        await self._end(self._conn.commit)

    async def rollback(self) -> None:
        """Take the transaction back, if there is one."""
        await self._end(self._conn.rollback)

    async def _end(self, end: Callable[[], None]) -> None:
        self._begin = ""
        if self._begun:
            await self._ask(end)
            self._begun = False

    async def _ask(self, work: Callable[[], None]) -> None:
        await self._execute(work)  # type: ignore[no-untyped-call]  # aiosqlite's own, without types


def _nothing() -> None:
    pass


def _run(connection: sqlite3.Connection, begin: str, statement: Callable[[sqlite3.Connection], None]) -> None:
    if begin:
        connection.execute(begin)
    statement(connection)


class Cursor:
    """One statement and what it returns. The names are the database interface's (PEP 249)."""

    arraysize = 1
    rowcount = -1
    lastrowid: int | None = None
    description: Any = None

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[_Row] = []
        self._rest: sqlite3.Cursor | None = None  # has the rows that did not come yet

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> Self:
        """Run the statement."""
        await self._connection.run(lambda connection: self._take(connection.execute(operation, parameters)))
        return self

    async def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> Self:
        """Run a statement that returns no rows, for each of these."""
        await self._connection.run(
            lambda connection: self._take(connection.executemany(operation, parameters))
        )
        return self

    async def fetchone(self) -> _Row | None:
        """The next row; None: there are no more."""
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int) -> list[_Row]:
        """So many rows, or as many as are left."""
        while self._rest is not None and len(self._rows) < size:
            await self._connection.run(self._fetch)
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    async def fetchall(self) -> list[_Row]:
        """The rows that are left."""
        while self._rest is not None:
            await self._connection.run(self._fetch)
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Give the rows up that are left."""
        rest, self._rest = self._rest, None
        if rest is not None:
            await self._connection.run(lambda _: rest.close())

    def _take(self, cursor: sqlite3.Cursor) -> None:
        self._rest = cursor
        self._fetch()
        # After the rows: where a statement changes rows and returns them, they are counted only then.
        self.description, self.rowcount = cursor.description, cursor.rowcount
        self.lastrowid = cursor.lastrowid

    def _fetch(self, _: object = None) -> None:
        if (cursor := self._rest) is not None:
            rows = cursor.fetchmany(_AT_ONCE)
            self._rows += rows
            if len(rows) < _AT_ONCE:
                self._rest = None
