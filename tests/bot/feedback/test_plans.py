"""No statement that people wait for goes through a whole table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.feedback import database
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Shown, Table
from tests.bot.feedback.conftest import Chat, listening, meme

# Hold something for moments only, or a row or two; or some rows a day, which are put together every hour.
SMALL = {"removals", "leavings", "secrets", "tallies"}


@dataclass
class Asked:
    """What a database was asked, in its own words."""

    engine: AsyncEngine
    statements: list[tuple[str, Any]] = field(default_factory=list)

    def listening(self, store: Store) -> AbstractContextManager[None]:
        """Hear what this store asks."""
        return listening(store, lambda *asked: self.statements.append(asked))

    async def whole_tables(self) -> list[str]:
        """The tables gone through from end to end, each with the statement that does it."""
        found = []
        async with self.engine.connect() as connection:
            on_sqlite = self.engine.dialect.name == "sqlite"
            if not on_sqlite:  # it goes through a table of few rows where it could take an index
                await connection.exec_driver_sql("SET enable_seqscan = off")
            for statement, parameters in self.statements:
                if not re.match(r"(SELECT|INSERT|UPDATE|DELETE|WITH)\b", statement):
                    continue
                explain = "EXPLAIN QUERY PLAN" if on_sqlite else "EXPLAIN"
                plan = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
                for row in plan:
                    scanned = re.search(r"(?:\bSCAN|Seq Scan on) ([a-z_]+?)(_\d+)?\b", str(row[-1]))
                    if scanned and scanned[1] in Table.metadata.tables.keys() - SMALL:
                        found.append(f"{scanned[1]}: {statement}")
        return found


@pytest.fixture
async def asked(url: str) -> AsyncIterator[Asked]:
    engine = database.create_engine(database.database_url(url))
    yield Asked(engine)
    await engine.dispose()


async def test_a_whole_table_is_told(asked: Asked, store: Store) -> None:
    with asked.listening(store):
        await store.reports.stats()
    whole = await asked.whole_tables()
    assert any(found.startswith("users: ") for found in whole)
    assert not any(found.startswith(("jobs: ", "captions: ", "ratings: ")) for found in whole)


async def test_an_erasure_looks_only_at_what_is_the_persons(chat: Chat, store: Store, asked: Asked) -> None:
    anna, boris = await chat.person(1), await chat.person(2)
    own, shared = await chat.answer(anna, meme("СВОЯ")), await chat.answer(anna, meme("ОБЩАЯ"))
    await chat.answer(boris, meme("ОБЩАЯ"))
    for user in (anna, boris):
        for row in (own, shared):
            await store.marks.rate(user.id, row.id, 3)
            await store.marks.correct(user.id, row.id, "Кот спит.")
    await store.messages.show(MessageKey.of(1, 50), Shown("caption", caption_id=own.id))
    with asked.listening(store):
        await store.people.set_consent(boris.id, False)
        await store.erasure.erase(anna.id)
    assert len(asked.statements) > 20
    assert await asked.whole_tables() == []


async def test_a_mark_and_a_correction_look_only_at_their_caption(
    chat: Chat, store: Store, asked: Asked
) -> None:
    user = await chat.person(1)
    row = await chat.answer(user, meme())
    with asked.listening(store):
        for mark in (2, 5):
            await store.marks.rate(user.id, row.id, mark)
        await store.marks.mean_rating(row.id)
        await store.marks.correct(user.id, row.id, "Кот спит.")
        await store.marks.correction(user.id, row.id)
    assert await asked.whole_tables() == []


async def test_the_operators_page_looks_only_at_the_days_it_shows(store: Store, asked: Asked) -> None:
    with asked.listening(store):
        await store.overview.course(30)
        await store.overview.failures(30)
        await store.overview.disliked(30, most=20)
        await store.overview.line()
    assert len(asked.statements) == 4
    assert await asked.whole_tables() == []


async def test_what_goes_with_a_row_is_found_by_an_index(asked: Asked, store: Store) -> None:
    """Databases go through a whole table for each row deleted where there is none."""

    def without(connection: Connection) -> list[str]:
        inspector = inspect(connection)
        return [
            f"{table}.{key['constrained_columns']}"
            for table in inspector.get_table_names()
            for key in inspector.get_foreign_keys(table)
            if key["options"].get("ondelete")
            and not any(columns[:1] == key["constrained_columns"] for columns in _indexed(inspector, table))
        ]

    async with asked.engine.connect() as connection:
        assert await connection.run_sync(without) == []


def _indexed(inspector: Inspector, table: str) -> Iterator[list[str]]:
    """The columns of each index."""
    yield inspector.get_pk_constraint(table)["constrained_columns"]
    for index in inspector.get_indexes(table):
        yield [name for name in index["column_names"] if name is not None]
