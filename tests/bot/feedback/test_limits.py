"""Pictures a day and muted ids, as the database keeps them for all bots."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.feedback.store import Store
from bot.feedback.tables import Job, Place, User
from bot.feedback.usage import DayFull, DayLimits
from tests.bot.feedback.conftest import Chat

GROUP = -100


async def accept(store: Store, user: User, number: int, limits: DayLimits, *, chat: int | None = None) -> Job:
    """A picture of its own, in the person's chat or another one."""
    ((job, created),) = await store.jobs.accept(
        user_id=user.id,
        place=Place(user.telegram_id if chat is None else chat),
        message_id=number,
        file_id=f"download-{number}",
        file_unique_id=f"unique-{number}",
        language="ru",
        limits=limits,
    )
    assert created
    return job


async def test_bots_of_one_database_count_together_and_what_is_refused_leaves_nothing(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    limits = DayLimits(person=2, group=1, everybody=4)
    anna, boris = await chat.person(1), await chat.person(2)
    async with await Store.open(url, data_dir) as other:
        await accept(store, anna, 1, limits)
        await accept(other, anna, 2, limits)
        with pytest.raises(DayFull) as person:
            await accept(store, anna, 3, limits)
        await accept(other, boris, 4, limits, chat=GROUP)
        with pytest.raises(DayFull) as group:
            await accept(store, boris, 5, limits, chat=GROUP)
        # What was refused counts for nobody: there is room for one.
        await accept(store, boris, 6, limits)
        with pytest.raises(DayFull) as everybody:
            await accept(other, await chat.person(3), 7, limits)
    refused = [one.value for one in (person, group, everybody)]
    assert [(one.whose, one.limit) for one in refused] == [("person", 2), ("group", 1), ("everybody", 4)]
    assert all(0 < one.seconds <= 24 * 3600 for one in refused)
    async with store.sessions.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Job)) == 4


async def test_who_is_muted_is_so_for_all_bots_and_after_an_erasure(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    anna = await chat.person(1)
    async with await Store.open(url, data_dir) as other:
        for number in (GROUP, 2**62, 1, GROUP):
            await store.muted.add(number)
        assert await other.muted.has(7, 1) and not await other.muted.has(7)
        await other.erasure.erase(anna.id)
        assert await other.muted.all() == [GROUP, 2**62, 1]
        assert await other.muted.remove(GROUP) and not await store.muted.remove(GROUP)
        assert await store.muted.all() == [2**62, 1]
