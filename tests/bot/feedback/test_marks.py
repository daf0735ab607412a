"""Marks and corrections."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Shown
from tests.bot.feedback.conftest import Chat, meme


async def test_a_mark_is_one_row_and_can_be_changed(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    assert await store.marks.rating(user.id, row.id) is None
    assert await store.marks.rate(user.id, row.id, 2) is None
    assert await store.marks.rate(user.id, row.id, 5) == 2
    assert await store.marks.rate(user.id, row.id, 5) == 5
    assert await store.marks.rating(user.id, row.id) == 5
    [model] = (await store.reports.stats()).models
    assert (model.ratings, model.mean_rating, model.marks) == (1, 5.0, {5: 1})


async def test_the_mean_mark_of_a_caption(chat: Chat, store: Store) -> None:
    row = await chat.answer(await chat.person(10), meme())
    assert await store.marks.mean_rating(row.id) == (None, 0)
    for number, mark in ((11, 2), (12, 5)):
        await store.marks.rate((await chat.person(number)).id, row.id, mark)
    assert await store.marks.mean_rating(row.id) == (3.5, 2)


@pytest.mark.parametrize("mark", [0, 6, -1])
async def test_marks_are_one_to_five(chat: Chat, store: Store, mark: int) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    with pytest.raises(ValueError, match="1, 2, 3, 4 or 5"):
        await store.marks.rate(user.id, row.id, mark)
    assert await store.marks.rating(user.id, row.id) is None


async def test_pressing_all_stars_at_once_leaves_one_mark(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    befores = await asyncio.gather(*(store.marks.rate(user.id, row.id, 1 + n % 5) for n in range(25)))
    assert None in befores
    assert await store.marks.rating(user.id, row.id) in range(1, 6)
    assert sum((await store.reports.stats()).models[0].marks.values()) == 1


async def test_the_newest_correction_counts_and_is_found_by_its_prompt(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    prompt = Shown("prompt", caption_id=row.id, user_id=user.id)
    await store.messages.show(MessageKey.of(10, 500), prompt)
    await store.messages.show(MessageKey.of(10, 500), prompt)  # redelivered
    async with await Store.open(url, data_dir) as restarted:
        found = await restarted.messages.find(MessageKey.of(10, 500))
        assert found is not None
        assert (found.kind, found.caption_id, found.user_id) == ("prompt", row.id, user.id)
        assert await restarted.messages.find(MessageKey.of(10, 501)) is None
        assert await restarted.messages.find(MessageKey.of(11, 500)) is None
        await restarted.marks.correct(user.id, row.id, "Первая попытка")
        await restarted.marks.correct(user.id, row.id, "Кот спит на клавиатуре")
    assert await store.marks.correction(user.id, row.id) == "Кот спит на клавиатуре"
    assert (await store.reports.stats()).models[0].corrections == 1
