from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.feedback import database

ROWS = 1_700  # of a statement: more than come at once


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = database.create_engine(database.database_url(f"sqlite:///{tmp_path}/bot.db"))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    yield engine
    await engine.dispose()


def fill(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bot.db") as other:
        other.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(ROWS)])
    other.close()


async def count(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM numbers"))).scalar_one())


async def test_what_is_not_committed_is_taken_back(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (1)"))
    assert await count(engine) == 0


async def test_whoever_is_cancelled_while_writing_leaves_no_lock(engine: AsyncEngine) -> None:
    writer = engine.execution_options(sqlite_begin="IMMEDIATE")

    async def write() -> None:
        async with writer.begin() as connection:
            await connection.execute(text("INSERT INTO numbers VALUES (1)"))
            await asyncio.Event().wait()

    for steps in range(12):  # wherever it stands just then
        task = asyncio.create_task(write())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with writer.begin() as connection:
            await connection.execute(text("PRAGMA user_version = 1"))
        assert await count(engine) == 0


async def test_a_lock_of_another_process_is_told_by_the_first_statement(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "bot.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with engine.execution_options(sqlite_begin=None).connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    writer = engine.execution_options(sqlite_begin="IMMEDIATE")
    async with writer.connect() as connection:  # the same one
        with pytest.raises(OperationalError, match="locked"):
            await connection.execute(text("INSERT INTO numbers VALUES (1)"))
    other.execute("COMMIT")
    async with writer.begin() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (1)"))
    assert await count(engine) == 1
    other.close()


async def test_many_rows_come_whole_and_in_order(engine: AsyncEngine, tmp_path: Path) -> None:
    fill(tmp_path)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT n FROM numbers ORDER BY n"))
        assert found.scalars().all() == list(range(ROWS))


async def test_many_rows_are_read_bit_by_bit(engine: AsyncEngine, tmp_path: Path) -> None:
    fill(tmp_path)
    async with engine.connect() as connection:
        rows = await connection.stream(text("SELECT n FROM numbers ORDER BY n"))
        assert [row.n async for row in rows] == list(range(ROWS))


async def test_who_stops_reading_holds_nobody_up(engine: AsyncEngine, tmp_path: Path) -> None:
    fill(tmp_path)
    reader = engine.execution_options(sqlite_begin=None)
    async with reader.connect() as connection:
        rows = await connection.stream(text("SELECT n FROM numbers ORDER BY n"))
        async for row in rows:
            if row.n == 3:
                break
        await rows.close()
        # A statement that is half read would keep the journal from being emptied.
        busy = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()[0]
    assert busy == 0


async def test_rows_changed_and_returned_are_all_changed(engine: AsyncEngine, tmp_path: Path) -> None:
    fill(tmp_path)
    async with engine.begin() as connection:
        gone = await connection.execute(text("DELETE FROM numbers RETURNING n"))
        assert len(gone.all()) == ROWS
    assert await count(engine) == 0


async def test_rows_are_counted(engine: AsyncEngine, tmp_path: Path) -> None:
    fill(tmp_path)
    async with engine.begin() as connection:
        assert (await connection.execute(text("DELETE FROM numbers WHERE n < 10"))).rowcount == 10
        assert (await connection.execute(text("DELETE FROM numbers WHERE n < 10"))).rowcount == 0
