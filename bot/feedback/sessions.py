"""The one place that opens sessions and begins transactions, and what every aggregate says with them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Delete,
    Executable,
    Row,
    Update,
    delete,
    event,
    insert,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as SQLTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.util import greenlet_spawn

from bot.feedback import database
from bot.feedback.clock import ago
from bot.feedback.database import NotStored, StoreAway, StoreError
from bot.feedback.prepared import Asked, Prepared
from bot.feedback.tables import Secret, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

# Rows are handed out as plain data, and what a session holds is not changed past it.
_OPTIONS: dict[str, Any] = {"expire_on_commit": False, "execution_options": {"synchronize_session": False}}
_Table = TypeVar("_Table", bound=Table)
_Result = TypeVar("_Result")
_PROOF = "the database can be written to"  # in the place of a name, within a transaction
_PROVE = insert(Secret.columns()).values(name=_PROOF, value="")
_DISPROVE = delete(Secret.columns()).where(Secret.columns().c.name == _PROOF)
STATEMENTS = frozenset({"select", "insert", "update", "delete"})
_FAILURES = (DBAPIError, OSError, SQLTimeout)  # the last one: no connection was free in time


@dataclass(frozen=True, slots=True, eq=False)
class Outage:
    """A time in which the database cannot be used."""

    reason: str  # what it said at first


class Watcher(Protocol):
    """Is told how the database does. Its methods return at once, and raise nothing.

    Of statements it may be told in any thread.
    """

    def statement_ran(self, kind: str, seconds: float) -> None:
        """It answered a statement; ``kind``: one of STATEMENTS, or "other"."""

    def transaction_ended(self, seconds: float) -> None:
        """A transaction that writes is committed, so many seconds after it was asked for."""

    def outage_began(self) -> None:
        """From now on the database cannot be used."""


class Sessions:
    """The connections to SQLite or PostgreSQL.

    The aggregates open a transaction each for themselves. What several of them write together is written by
    their methods that take a session or a connection, inside one transaction of whoever calls them.
    """

    def __init__(self, engine: AsyncEngine, watcher: Watcher | None = None) -> None:
        self._engine = engine
        self._watcher = watcher
        if watcher is not None:
            _watch_statements(engine, self._statement_ran)
        sqlite_is_used = engine.dialect.name == "sqlite"
        self._reader = engine.execution_options(sqlite_begin=None)
        self._writer = engine.execution_options(sqlite_begin="IMMEDIATE")
        # For what every picture needs.
        self._quick: Prepared | _Spawned = (
            Prepared(engine.url, engine.dialect, self._statement_ran) if sqlite_is_used else _Spawned(engine)
        )
        # SQLite has one writer at a time: waiting here is fair and costs nothing, its own waiting polls.
        self.outage: Outage | None = None  # since something could not be done, until something can be written
        self._one_writer = asyncio.Lock() if sqlite_is_used else None

    async def close(self) -> None:
        """Give the connections back. Nothing can be asked afterwards."""
        await self._quick.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that writes nothing, each statement of which sees what is there just then.

        Raises StoreError when the database cannot be used.
        """
        with self._failing():
            async with AsyncSession(self._reader, **_OPTIONS) as session:
                yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that may write, committed at the end; an exception takes everything back.

        Raises NotStored when it refers to something erased, StoreError when the database cannot be used. What
        can be committed ends an outage.
        """
        with self._writing():
            async with (
                self._one_writer or nullcontext(),
                AsyncSession(self._writer, **_OPTIONS) as session,
                session.begin(),
            ):
                yield session
                if self.outage is not None:
                    await (await session.connection()).run_sync(_write_something)
            self.outage = None

    async def read(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """The only row that a statement returns, if it returns one; the statement is one that was made once.

        Raises StoreError when the database cannot be used.
        """
        with self._failing():
            return await self._quick.read(statement, values)

    async def write(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """The same of a statement that is a transaction by itself. Raises as :meth:`transaction` does."""
        if self.outage is not None:  # what ends one takes more than a statement
            return await self.transact(lambda asked: asked.execute(statement, values).one_or_none())
        with self._writing():
            async with self._one_writer or nullcontext():
                return await self._quick.write(statement, values)

    async def transact(self, work: Callable[[Asked], _Result]) -> _Result:
        """What ``work`` returns, which is a :meth:`transaction` of its own. Raises as that does.

        For what every picture needs, with statements that were made once. On SQLite it runs in a thread.
        """
        with self._writing():
            async with self._one_writer or nullcontext():
                result = await self._quick.transact(partial(self._proving, work))
            self.outage = None
            return result

    def _proving(self, work: Callable[[Asked], _Result], asked: Asked) -> _Result:
        """What ``work`` returns, in an outage with what ends it."""
        result = work(asked)
        if self.outage is not None:
            _write_something(asked)
        return result

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Say in our words what the database cannot do in the block."""
        try:
            yield
        except IntegrityError:
            raise
        except _FAILURES as error:
            raise self._failed(error) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The same around a transaction, and tell how long it took."""
        asked = time.perf_counter()
        try:
            with self._failing():
                yield
        except IntegrityError as error:
            if "foreign key" in str(error.orig).lower():
                raise NotStored("This person or caption was erased.") from error
            raise
        if self._watcher is not None:
            self._watcher.transaction_ended(time.perf_counter() - asked)

    def _statement_ran(self, statement: str, seconds: float) -> None:
        if self._watcher is not None:
            first = statement.split(None, 1)[0].lower()
            self._watcher.statement_ran(first if first in STATEMENTS else "other", seconds)

    def _failed(self, error: DBAPIError | OSError | SQLTimeout) -> StoreError:
        if isinstance(error, DataError | ProgrammingError | NotSupportedError):
            return StoreError(f"The database refuses what it is asked ({error.orig}); report it.")
        if self.outage is None:
            self.outage = Outage(str(reason(error)))
            if self._watcher is not None:
                self._watcher.outage_began()
        return StoreAway(
            f"The database cannot be used ({self.outage.reason}); check the space on its disk, and that it "
            "is whole and its server runs."
        )

    def insert(self, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
        """An insert that can say what to do on a conflict: the one thing the dialects spell apart.

        Where it returns rows, :func:`made` makes them what they are.
        """
        columns = table.columns()
        if self._engine.dialect.name == "sqlite":
            return sqlite.insert(columns)
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to import, and mostly not needed

        return postgresql.insert(columns)

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


class _Spawned:
    """As :class:`Prepared`, by SQLAlchemy's connections: each thing asked is one greenlet."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.sync_engine
        # Not told to begin: a statement by itself is a transaction, and committed with it.
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT").sync_engine

    async def close(self) -> None:
        """The connections are the engine's."""

    async def read(self, statement: Executable, values: Mapping[str, Any] | None) -> Row[Any] | None:
        """See :class:`Prepared`."""
        return await greenlet_spawn(self._run_alone, statement, values)

    write = read

    async def transact(self, work: Callable[[Asked], _Result]) -> _Result:
        """See :class:`Prepared`."""
        return await greenlet_spawn(self._run_together, work)

    def _run_alone(self, statement: Executable, values: Mapping[str, Any] | None) -> Row[Any] | None:
        with self._alone.connect() as connection:
            return connection.execute(statement, values).one_or_none()

    def _run_together(self, work: Callable[[Asked], _Result]) -> _Result:
        with self._engine.begin() as connection:
            return work(connection)


def _write_something(asked: Asked) -> None:
    """Change the database, and take it back: what changes nothing can be committed on a full disk, too."""
    # Not a row that is there: SQLite leaves alone what would be as it was.
    asked.execute(_PROVE)
    asked.execute(_DISPROVE)


def _watch_statements(engine: AsyncEngine, ran: Callable[[str, float], None]) -> None:
    """Tell of each statement, and of how long its answer took."""

    def before(_: object, __: object, ___: object, ____: object, context: Any, *_____: object) -> None:
        context.began = time.perf_counter()

    def after(_: object, __: object, statement: str, ___: object, context: Any, *____: object) -> None:
        ran(statement, time.perf_counter() - context.began)

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)


@overload
def made(table: type[_Table], row: Row[Any]) -> _Table: ...
@overload
def made(table: type[_Table], row: None) -> None: ...
def made(table: type[_Table], row: Row[Any] | None) -> _Table | None:
    """What a row with the columns of ``table`` is."""
    return None if row is None else table(**row._mapping)


async def changed(session: AsyncSession, statement: Update | Delete) -> int:
    """Run it; how many rows were touched."""
    result = await session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount


def reason(error: DBAPIError | OSError | SQLTimeout | sqlite3.Error) -> object:
    """What the database or the system itself says."""
    return error.orig if isinstance(error, DBAPIError) else error
