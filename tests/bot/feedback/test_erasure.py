"""Erasing somebody who has much: in portions, between which others write."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.feedback import erasure
from bot.feedback.database import NotStored
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Place, Shown, User
from inference.common.types import Answer
from tests.bot.feedback.conftest import CHECKPOINT, MODEL, Chat, fields, kept, meme, said

MUCH = 12  # of everything: several portions


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_ROWS", 5)
    monkeypatch.setattr(erasure, "_PICTURES", 2)


async def busy_person(chat: Chat, store: Store) -> tuple[User, User, CaptionRow]:
    """Anna with much of everything; Boris, who marked all of hers; his own, which she marked."""
    anna, boris = await chat.person(1), await chat.person(2)
    his = await chat.answer(boris, meme("ЧУЖАЯ"))
    for number in range(MUCH // 2):
        row = await chat.answer(anna, meme(f"СВОЯ {number}"))
        await store.messages.show(MessageKey.of(-1, number), Shown("caption", caption_id=row.id))
        for user in (anna, boris):
            await store.marks.rate(user.id, row.id, 1 + number % 5)
            await store.marks.correct(user.id, row.id, "тайное слово")
    both = await chat.answer(anna, meme("ЧУЖАЯ"))
    assert both.picture_id == his.picture_id
    await store.marks.rate(anna.id, his.id, 1)
    await store.marks.rate(boris.id, his.id, 5)
    return anna, boris, his


async def test_nothing_is_left_after_several_portions(chat: Chat, store: Store, data_dir: Path) -> None:
    anna, boris, his = await busy_person(chat, store)
    gone = await store.erasure.erase(anna.id)
    assert (gone.pictures, gone.files, gone.captions) == (MUCH // 2, MUCH // 2, MUCH // 2)
    assert (gone.ratings, gone.corrections, gone.jobs) == (MUCH + 1, MUCH, MUCH // 2 + 1)
    assert await store.people.find(1) is None
    assert [path.read_bytes() for path in kept(data_dir)] == [meme("ЧУЖАЯ")]
    assert [(item.mark, item.correction) async for item in store.reports.feedback()] == [(5, None)]
    assert await store.messages.find(MessageKey.of(-1, 0)) is None
    assert [stone.kind for stone in await store.tombstones.all()].count("user") == 1
    assert await store.marks.rating(boris.id, his.id) == 5


async def test_what_answered_a_question_under_a_picture_of_others_is_counted_too(
    chat: Chat, store: Store
) -> None:
    anna, boris = await chat.person(1), await chat.person(2)
    shared, picture = await chat.answer(boris, meme("ОБЩАЯ")), fields(meme("ОБЩАЯ"))
    asking: dict[str, Any] = {
        "user_id": anna.id,
        "place": Place(anna.telegram_id),
        "file_id": "file",
        "file_unique_id": picture.file_unique_id,
        "language": "ru",
    }
    ((under, _),) = await store.jobs.accept(**asking, message_id=90, question="Кто это?")
    own = await store.captions.save(under.id, picture=picture, caption=said(), asked=True)
    ((after, _),) = await store.jobs.accept(
        **asking, message_id=91, kind="question", question="А где?", about_caption_id=own.id
    )
    await store.turns.save(after.id, Answer("Тут.", MODEL, CHECKPOINT))
    gone = await store.erasure.erase(anna.id)
    assert (gone.pictures, gone.captions, gone.turns, gone.jobs) == (0, 1, 1, 2)
    assert await store.captions.get(own.id) is None
    assert await store.captions.get(shared.id) is not None


async def test_marks_are_saved_between_the_portions(chat: Chat, store: Store) -> None:
    """Boris presses on while Anna goes: what is about her pictures is refused, all else is kept."""
    anna, boris, his = await busy_person(chat, store)
    erasing = asyncio.create_task(store.erasure.erase(anna.id))
    pressed = 0
    while not erasing.done():
        await store.marks.rate(boris.id, his.id, 1 + pressed % 5)
        pressed += 1
    await erasing
    assert pressed > 3
    assert await store.marks.rating(boris.id, his.id) == 1 + (pressed - 1) % 5


async def test_what_was_begun_is_finished_at_the_next_start(
    chat: Chat, store: Store, url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, _, _ = await busy_person(chat, store)

    async def killed(seconds: float) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(asyncio, "sleep", killed)
        await store.erasure.erase(anna.id)
    assert await store.people.find(1) is not None, "the first portion only"
    async with await Store.open(url, data_dir) as restarted:
        assert await restarted.people.find(1) is None
        assert [(item.mark, item.correction) async for item in restarted.reports.feedback()] == [(5, None)]
        assert [path.read_bytes() for path in kept(data_dir)] == [meme("ЧУЖАЯ")]
        with pytest.raises(NotStored):
            await restarted.erasure.erase(anna.id)


async def test_what_two_processes_erase_at_once_is_erased_once(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    anna, boris, his = await busy_person(chat, store)
    async with await Store.open(url, data_dir) as other:
        results = await asyncio.gather(
            store.erasure.erase(anna.id), other.erasure.erase(anna.id), return_exceptions=True
        )
    gone = [one for one in results if isinstance(one, erasure.Erased)]
    assert sum(one.ratings for one in gone) == MUCH + 1
    assert [type(one) for one in results if one not in gone] in ([], [NotStored])
    assert await store.marks.rating(boris.id, his.id) == 5
