"""What is asked past SQLAlchemy's connections is answered as they answer it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.feedback.database import NotStored
from bot.feedback.prepared import Asked
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Job, Picture, Table, User, now
from inference.common.types import DecodingOptions
from tests.bot.feedback.conftest import Chat, fields, meme, said

_USERS = User.columns()
_CHANGE = update(_USERS).values(active=bindparam("is_active")).returning(_USERS.c.id)
_ADD = (
    insert(_USERS)
    .values(telegram_id=1, language="ru", language_chosen=False, consent=False, active=True)
    .returning(_USERS.c.id)
)


async def test_rows_are_those_of_a_session(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    await store.people.compare_with(user.id, ("one", "another"))
    picture = fields(meme())
    job = await chat.job(user, picture.file_unique_id, DecodingOptions(beams=3))
    await store.jobs.claim(job.id)
    row = await store.captions.save(job.id, picture=picture, caption=said(words=("КОТ", "СПИТ")))
    await store.jobs.mark_reply_sending(job.id)
    numbers: dict[type[Table], int] = {
        User: user.id,
        Job: job.id,
        CaptionRow: row.id,
        Picture: row.picture_id,
    }
    for table, number in numbers.items():
        columns = table.columns()
        found = await store.sessions.read(select(columns).where(columns.c.id == number))
        assert found is not None
        async with store.sessions.reading() as session:
            expected: Any = await session.get_one(table, number)
        assert found._asdict() == {name: getattr(expected, name) for name in columns.c.keys()}  # noqa: SIM118


async def test_what_a_transaction_raises_takes_all_of_it_back(chat: Chat, store: Store) -> None:
    await chat.person(10)

    def work(asked: Asked) -> None:
        asked.execute(_CHANGE, {"is_active": False})
        raise NotStored("This person was erased.")

    with pytest.raises(NotStored):
        await store.sessions.transact(work)
    found = await store.people.find(10)
    assert found is not None and found.active


async def test_the_values_of_each_time_are_used(chat: Chat, store: Store) -> None:
    await chat.person(10)
    for active in (False, True):
        await store.sessions.write(_CHANGE, {"is_active": active})
        found = await store.people.find(10)
        assert found is not None and found.active is active


async def test_what_the_database_forbids_is_told_as_by_sqlalchemy(chat: Chat, store: Store) -> None:
    await chat.person(1)
    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        await store.sessions.write(_ADD, {"created_at": now()})
    assert await store.people.find(1) is not None


async def test_a_statement_that_differs_with_its_values_is_refused(store: Store, url: str) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("only SQLite is asked past SQLAlchemy")
    several = select(_USERS.c.id).where(_USERS.c.id.in_(bindparam("numbers", expanding=True)))
    with pytest.raises(TypeError, match="with other values"):
        await store.sessions.read(several, {"numbers": [1, 2]})
