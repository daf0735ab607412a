"""What every picture asks of SQLite, past SQLAlchemy's connections.

Those take six times as long over a small statement as SQLite does, with the way to its thread and back. Here
a statement is put into SQLite's words once, and a whole transaction runs in the thread of its connection,
where no statement is waited for by itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Dialect, Executable, Result, Row
from sqlalchemy.engine import URL, IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows

from bot.feedback import sqlite

_Result = TypeVar("_Result")
_Values = Mapping[str, Any]


class Asked(Protocol):
    """What a transaction asks: SQLAlchemy's Connection, or :class:`Prepared`'s."""

    @property
    def dialect(self) -> Dialect:
        """That of the database."""

    def execute(self, statement: Executable, parameters: _Values | None = None, /) -> Result[Any]:
        """What a statement returns."""

    def scalar(self, statement: Executable, parameters: _Values | None = None, /) -> Any:
        """The first value that it returns."""


class Prepared:
    """Two connections to a file: what is written waits for nothing that is read.

    Statements are kept as they were prepared: only what is made once, and asked again and again, is for it.
    ``ran`` is told of each, in SQLite's words, and how many seconds it took; in a connection's thread.
    Its methods raise SQLAlchemy's DBAPIError.
    """

    def __init__(self, url: URL, dialect: Dialect, ran: Callable[[str, float], None]) -> None:
        self.dialect = dialect
        self.ran = ran
        self._statements: dict[tuple[object, ...], _Statement] = {}
        self._reader, self._writer = _Line(url), _Line(url)

    async def close(self) -> None:
        """Give the connections back."""
        await self._reader.close()
        await self._writer.close()

    async def read(self, statement: Executable, values: _Values | None) -> Row[Any] | None:
        """The only row that a statement returns, if it returns one."""
        return await self._reader.ask(partial(self._alone, statement, values))

    async def write(self, statement: Executable, values: _Values | None) -> Row[Any] | None:
        """The same of a statement that is a transaction by itself."""
        return await self._writer.ask(partial(self._alone, statement, values))

    async def transact(self, work: Callable[[Asked], _Result]) -> _Result:
        """What ``work`` returns, which is a transaction; an exception takes everything back."""
        return await self._writer.ask(partial(self._together, work))

    def _alone(
        self, statement: Executable, values: _Values | None, connection: sqlite3.Connection
    ) -> Row[Any] | None:
        return _Connection(connection, self).execute(statement, values).one_or_none()

    def _together(self, work: Callable[[Asked], _Result], connection: sqlite3.Connection) -> _Result:
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or takes back
            return work(_Connection(connection, self))

    def statement(self, statement: Executable, names: Iterable[str]) -> _Statement:
        """The statement as it is asked with values of these names."""
        key = (statement, *names)
        if (found := self._statements.get(key)) is None:
            found = self._statements[key] = _Statement(statement, names, self.dialect)
        return found


class _Connection:
    """What one transaction asks."""

    def __init__(self, connection: sqlite3.Connection, prepared: Prepared) -> None:
        self._connection = connection
        self._prepared = prepared
        self.dialect = prepared.dialect

    def execute(self, statement: Executable, parameters: _Values | None = None, /) -> Result[Any]:
        """See :class:`Asked`."""
        values = parameters or {}
        prepared = self._prepared.statement(statement, values)
        began = time.perf_counter()
        result = prepared.run(self._connection, values)
        self._prepared.ran(prepared.sql, time.perf_counter() - began)
        return result

    def scalar(self, statement: Executable, parameters: _Values | None = None, /) -> Any:
        """See :class:`Asked`."""
        return self.execute(statement, parameters).scalar()


class _Statement:
    """A statement in SQLite's words. ``names``: of the values that it is run with."""

    def __init__(self, statement: Executable, names: Iterable[str], dialect: Dialect) -> None:
        compiled = cast("ClauseElement", statement).compile(dialect=dialect, column_keys=[*names])
        if not isinstance(compiled, SQLCompiler) or compiled.post_compile_params or compiled.prefetch:
            raise TypeError(f"This is another statement with other values: {compiled}")
        self.sql = str(compiled)
        self._parameters: list[tuple[str | None, Any, Callable[[Any], Any] | None]] = []
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            process = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.required or bind.key in names:
                self._parameters.append((bind.key, None, process))
            else:  # the same each time
                value = bind.effective_value
                self._parameters.append((None, value if process is None else process(value), None))
        columns = statement.exported_columns.items() if isinstance(statement, ReturnsRows) else []
        self._metadata = SimpleResultMetaData([name for name, _ in columns])
        self._processes = [
            (place, process)
            for place, (_, column) in enumerate(columns)
            if (process := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
        ]

    def run(self, connection: sqlite3.Connection, values: _Values) -> Result[Any]:
        """Run it; all of its rows."""
        rows = connection.execute(self.sql, self.parameters(values)).fetchall()
        return IteratorResult(self._metadata, map(self._read, rows))

    def parameters(self, values: _Values) -> list[Any]:
        """What SQLite gets for its question marks."""
        return [
            fixed if name is None else values[name] if process is None else process(values[name])
            for name, fixed, process in self._parameters
        ]

    def _read(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        read = list(row)
        for place, process in self._processes:
            read[place] = process(read[place])
        return tuple(read)


class _Line:
    """One connection, opened when it is needed; it is asked one thing after the other."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._opening = asyncio.Lock()
        self._connection: sqlite.Connection | None = None

    async def close(self) -> None:
        """Give it back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def ask(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """What ``work`` returns, which runs in the connection's thread. Raises DBAPIError, and what it
        raises.
        """
        try:
            connection = self._connection or await self._open()
            return await connection.work(work)
        except sqlite3.Error as error:
            raise cast("DBAPIError", DBAPIError.instance(None, None, error, sqlite3.Error)) from error

    async def _open(self) -> sqlite.Connection:
        async with self._opening:
            if self._connection is None:
                self._connection = await sqlite.connect(self._url)
            return self._connection
