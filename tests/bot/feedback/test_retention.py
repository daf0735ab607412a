"""What is older than it may be goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from bot.feedback import retention
from bot.feedback.retention import Keep
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Job, Picture, Rating, now
from tests.bot.conftest import unfinished
from tests.bot.feedback.conftest import Chat, kept, meme


async def age(store: Store, days: float, *, picture: int | None = None) -> None:
    """Everything, or all that is about one picture, was written so many days ago."""
    then = now() - timedelta(days=days)
    async with store.sessions.transaction() as session:
        for table, key in ((CaptionRow, CaptionRow.picture_id), (Picture, Picture.id)):
            statement = update(table).values(created_at=then)
            await session.execute(statement if picture is None else statement.where(key == picture))
        if picture is None:
            await session.execute(update(Job).values(created_at=then))
        kept_since = update(Picture).where(Picture.path.is_not(None)).values(kept_at=then)
        await session.execute(kept_since if picture is None else kept_since.where(Picture.id == picture))


async def count(store: Store, table: str) -> int:
    async with store.sessions.reading() as session:
        return (await session.scalar(text(f"SELECT count(*) FROM {table}"))) or 0


async def test_kept_pictures_go_by_their_age_and_their_descriptions_stay(
    chat: Chat, store: Store, data_dir: Path
) -> None:
    anna = await chat.person(1)
    old, young = await chat.answer(anna, meme("СТАРАЯ")), await chat.answer(anna, meme("НОВАЯ"))
    await age(store, 31, picture=old.picture_id)
    await age(store, 29, picture=young.picture_id)
    assert await store.retention.sweep(Keep()) == 0
    assert await store.retention.sweep(Keep(pictures=30)) == 1
    picture = await store.pictures.get(young.picture_id)
    assert picture is not None and [data_dir / str(picture.path)] == kept(data_dir)
    assert await store.captions.get(old.id) is not None
    # An earlier export must be cleaned of it.
    assert [one.kind for one in await store.tombstones.all()] == ["picture"]
    # Sent again it is kept again, from then on.
    await chat.answer(anna, meme("СТАРАЯ"))
    assert await store.retention.sweep(Keep(pictures=30)) == 0
    assert len(kept(data_dir)) == 2


async def test_texts_go_with_all_that_hangs_on_them(
    chat: Chat, store: Store, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PAGE", 3)
    anna, boris = await chat.person(1, consent=False), await chat.person(2)
    rows = [await chat.answer(anna, meme(f"КОТ {number}")) for number in range(8)]
    hers = await chat.answer(boris, meme("ХРАНИМАЯ"))
    for row in rows[:2]:
        await store.marks.rate(anna.id, row.id, 3)
        await store.marks.correct(boris.id, row.id, "Кот спит")
    await age(store, 91)
    open_job = await chat.job(anna, "unique-open")
    await chat.answer(anna, meme("НОВАЯ"))
    assert await store.retention.sweep(Keep(texts=90)) == 9 + 9 + 8
    assert [await count(store, name) for name in ("captions", "ratings", "corrections", "jobs")] == [
        1,
        0,
        0,
        2,
    ]
    assert [job.id for job in await unfinished(store)] == [open_job.id]
    # The kept picture stays as long as it is to be kept, without a word; then its row goes too.
    assert await store.captions.get(hers.id) is None and len(kept(data_dir)) == 1
    assert await count(store, "pictures") == 2
    assert await store.retention.sweep(Keep(pictures=1, texts=90)) == 2
    assert kept(data_dir) == [] and await count(store, "pictures") == 1
    # Of what may have been exported: the two that were marked, and the kept one.
    assert len(await store.tombstones.all()) == 3
    assert await count(store, "users") == 2


async def test_what_is_on_its_way_to_a_chat_goes_another_time(chat: Chat, store: Store) -> None:
    anna = await chat.person(1)
    row = await chat.answer(anna, meme())
    job = await chat.job(anna, "unique-again")
    await store.jobs.claim(job.id)
    await store.captions.use(job.id, row.id)
    await age(store, 10)
    await store.retention.sweep(Keep(texts=5))
    assert await store.captions.get(row.id) is not None
    await store.jobs.answered(job.id, 99)
    await store.retention.sweep(Keep(texts=5))
    assert await store.captions.get(row.id) is None
    async with store.sessions.reading() as session:
        assert await session.get(Rating, (anna.id, row.id)) is None
