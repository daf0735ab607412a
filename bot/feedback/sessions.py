"""The one place that opens sessions and begins transactions, and what every aggregate says with them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, CursorResult, Delete, Executable, Update, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as SQLTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from bot.feedback import database
from bot.feedback.clock import ago
from bot.feedback.database import NotStored, StoreAway, StoreError
from bot.feedback.tables import Job, Table, User

# Rows are handed out as plain data, and what a session holds is not changed past it.
_OPTIONS: dict[str, Any] = {"expire_on_commit": False, "execution_options": {"synchronize_session": False}}
_Table = TypeVar("_Table", bound=Table)
_FAILURES = (DBAPIError, OSError, SQLTimeout)  # the last one: no connection was free in time


@dataclass(frozen=True, slots=True, eq=False)
class Outage:
    """A time in which the database cannot be used."""

    reason: str  # what it said at first


class Sessions:
    """The connections to SQLite or PostgreSQL.

    The aggregates open a transaction each for themselves. What several of them write together is written by
    their methods that take a session, inside one :meth:`transaction` of whoever calls them.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(sqlite_begin=None)
        self._writer = engine.execution_options(sqlite_begin="IMMEDIATE")
        # SQLite has one writer at a time: waiting here is fair and costs nothing, its own waiting polls.
        self.outage: Outage | None = None  # since something could not be done, until something can be written
        self._one_writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    async def close(self) -> None:
        """Give the connections back. Nothing can be asked afterwards."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that writes nothing, each statement of which sees what is there just then.

        Raises StoreError when the database cannot be used.
        """
        try:
            async with AsyncSession(self._reader, **_OPTIONS) as session:
                yield session
        except _FAILURES as error:
            raise self._failed(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that may write, committed at the end; an exception takes everything back.

        Raises NotStored when it refers to something erased, StoreError when the database cannot be used.
        """
        try:
            async with (
                self._one_writer or nullcontext(),
                AsyncSession(self._writer, **_OPTIONS) as session,
                session.begin(),
            ):
                yield session
        except IntegrityError as error:
            if "foreign key" in str(error.orig).lower():
                raise NotStored("This person or caption was erased.") from error
            raise
        except _FAILURES as error:
            raise self._failed(error) from error
        self.outage = None

    def _failed(self, error: DBAPIError | OSError | SQLTimeout) -> StoreError:
        if isinstance(error, DataError | ProgrammingError | NotSupportedError):
            return StoreError(f"The database refuses what it is asked ({error.orig}); report it.")
        self.outage = self.outage or Outage(str(reason(error)))
        return StoreAway(
            f"The database cannot be used ({self.outage.reason}); check the space on its disk, and that it "
            "is whole and its server runs."
        )

    def insert(self, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
        """An insert that can say what to do on a conflict: the one thing the dialects spell apart.

        Where it returns rows, :func:`one` makes them what they are.
        """
        columns = table.columns()
        return sqlite.insert(columns) if self._engine.dialect.name == "sqlite" else postgresql.insert(columns)

    async def set(self, table: type[User] | type[Job], row_id: int, **values: Any) -> None:
        """Change columns of one row. Raises NotStored when it is there no more."""
        async with self.transaction() as session:
            if not await changed(session, update(table).where(table.id == row_id).values(**values)):
                raise NotStored("This person or job was erased.")

    async def hold(
        self, key: InstrumentedAttribute[int], numbers: Iterable[int], *only: ColumnElement[bool]
    ) -> None:
        """Say of the rows with these numbers, ``only`` of those for which this is so, that this process works
        on them: they were held now.
        """
        if held := list(numbers):
            async with self.transaction() as session:
                await changed(session, update(key.class_).where(key.in_(held), *only).values(held_at=ago()))

    async def truncate_journal(self) -> None:
        """Empty SQLite's journal, so that what was erased does not live on in it (see database)."""
        if self._engine.dialect.name == "sqlite":
            await database.truncate_journal(self._engine)


async def one(
    session: AsyncSession, table: type[_Table], statement: Executable, values: Mapping[str, Any] | None = None
) -> _Table | None:
    """The only row of ``table`` that a statement about its columns returns, if it returns one."""
    row = (await session.execute(statement, values)).one_or_none()
    return None if row is None else table(**row._mapping)


async def changed(session: AsyncSession, statement: Update | Delete) -> int:
    """Run it; how many rows were touched."""
    result = await session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount


def reason(error: DBAPIError | OSError | SQLTimeout | sqlite3.Error) -> object:
    """What the database or the system itself says."""
    return error.orig if isinstance(error, DBAPIError) else error
