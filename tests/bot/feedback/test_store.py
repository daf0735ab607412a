"""All aggregates together: what is gone is refused, and many people at once lose nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.feedback.database import NotStored, StoreAway
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Place, Shown, User
from tests.bot.feedback.conftest import Chat, fields, listening, meme, said


async def test_feedback_on_what_is_not_there_is_refused(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    gone = row.id + 1000
    with pytest.raises(NotStored):
        await store.marks.rate(user.id, gone, 3)
    with pytest.raises(NotStored):
        await store.marks.correct(user.id, gone, "текст")
    with pytest.raises(NotStored):
        await store.messages.show(MessageKey.of(10, 1), Shown("prompt", caption_id=gone, user_id=user.id))
    with pytest.raises(NotStored):
        await store.marks.rate(user.id + 1000, row.id, 3)
    for call in (
        store.jobs.answered(gone, 1),
        store.jobs.failed(gone, "why"),
        store.jobs.mark_reply_sending(gone),
        store.captions.use(gone, row.id),
        store.captions.save(gone, picture=fields(meme()), caption=said()),
        store.people.set_consent(gone, True),
        store.people.set_consent(gone, False),
        store.people.set_language(gone, "ru"),
    ):
        with pytest.raises(NotStored):
            await call
    assert await store.jobs.claim(gone) is None


async def test_many_people_at_once_lose_nothing(chat: Chat, store: Store, url: str, data_dir: Path) -> None:
    """Forty whole conversations at the same time, through two stores, as of a bot and a command beside it."""
    async with await Store.open(url, data_dir) as other:
        data = [meme(f"КОТ {number}") for number in range(8)]

        async def talk(number: int) -> None:
            mine = Chat((store, other)[number % 2])
            user = await mine.person(1000 + number, consent=number % 3 == 0)
            row = await mine.answer(user, data[number % len(data)])
            await mine.store.marks.rate(user.id, row.id, 1 + number % 5)
            await mine.store.marks.correct(user.id, row.id, f"Исправление {number}")
            assert await mine.store.marks.rating(user.id, row.id) == 1 + number % 5

        await asyncio.gather(*(talk(number) for number in range(40)))
        stats = await store.reports.stats()
    assert stats.users == 40
    assert stats.consenting_users == 14
    assert stats.pictures == len(data)
    assert stats.jobs == {"answered": 40}
    [model] = stats.models
    assert (model.captions, model.ratings, model.corrections) == (40, 40, 40)
    assert model.mean_rating == 3.0
    found = {item.correction async for item in store.reports.feedback()}
    assert found == {f"Исправление {number}" for number in range(40)}


async def test_an_outage_ends_with_what_is_written_not_with_what_changes_nothing(store: Store) -> None:
    def full(statement: str, _: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            raise OSError(28, "No space left on device")

    async def look() -> None:
        async with store.sessions.transaction() as session:
            await session.scalar(select(User.id))

    await look()
    with listening(store, full):
        with pytest.raises(StoreAway, match="No space left"):
            await store.people.meet(1, language="ru")
        with pytest.raises(StoreAway, match="No space left"):
            await look()
        assert store.outage is not None
    await look()
    assert store.outage is None


async def test_what_every_picture_asks_ends_an_outage_too(store: Store) -> None:
    def full(statement: str, _: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            raise OSError(28, "No space left on device")

    with listening(store, full):
        for _ in range(2):
            with pytest.raises(StoreAway, match="No space left"):
                await store.people.meet(1, language="ru")
    assert store.outage is not None
    await store.people.meet(1, language="ru")
    assert store.outage is None


async def test_what_is_broken_off_at_any_step_leaves_the_store_to_others(store: Store) -> None:
    user = await store.people.meet(7, language="ru")
    accept = partial(store.jobs.accept, user_id=user.id, place=Place(7), language="ru", file_id="file")
    for turns in range(60):  # of the loop, until it is cancelled: more than it has steps
        for ask in (
            partial(accept, message_id=1000 + turns, file_unique_id="cancelled"),
            partial(store.messages.show, MessageKey.of(7, 1000 + turns), Shown("privacy")),
            partial(store.people.find, 7),
        ):
            work = asyncio.ensure_future(ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await accept(message_id=turns, file_unique_id="another")
