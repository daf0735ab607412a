"""Captions: kept whole, and found again instead of made anew."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from bot.feedback.jobs import options_key
from bot.feedback.store import Store
from bot.feedback.tables import Place, now
from inference.common.types import DecodingOptions, Version
from tests.bot.feedback.conftest import CHECKPOINT, MODEL, PROGRAM, Chat, fields, meme, said


async def test_a_caption_is_read_back_whole(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    picture = fields(meme())
    job = await chat.job(user, picture.file_unique_id)
    caption = said("Кот говорит «мяу\n»", words=("КОТ", "МЯУ 😺"))
    row = await store.captions.save(job.id, picture=picture, caption=caption)
    found = await store.captions.get(row.id)
    assert found is not None and found.to_caption() == caption
    stored = await store.pictures.get(row.picture_id)
    assert stored is not None
    assert (stored.sha256, stored.size, stored.width, stored.height) == (
        picture.sha256,
        picture.size,
        160,
        140,
    )


async def test_the_cache_knows_picture_model_version_and_options(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    picture = fields(meme())
    job = await chat.job(user, picture.file_unique_id)
    row = await store.captions.save(job.id, picture=picture, caption=said())

    async def cached(user_id: int = user.id, **changes: str) -> int | None:
        keys = {
            "file_unique_id": picture.file_unique_id,
            "model": MODEL,
            "checkpoint": CHECKPOINT,
            "program": PROGRAM,
            "options_key": options_key(None),
            **changes,
        }
        version = Version(keys.pop("checkpoint"), keys.pop("program"))
        found = await store.captions.cached(**keys, version=version, user_id=user_id)
        return None if found is None else found.id

    assert await cached() == row.id
    assert await cached(file_unique_id="other") is None
    assert await cached(model="other") is None
    assert await cached(checkpoint="d" * 64) is None
    assert await cached(program="older") is None
    assert await cached(options_key=options_key(DecodingOptions(beams=7))) is None

    second = await chat.job(await chat.person(11), picture.file_unique_id)
    await store.captions.use(second.id, row.id)
    read = await store.jobs.get(second.id)
    assert read is not None and read.caption_id == row.id

    # What answers somebody's question is told to nobody else.
    ((third, _),) = await store.jobs.accept(
        user_id=user.id,
        place=Place(10),
        message_id=77,
        file_id="f",
        file_unique_id=picture.file_unique_id,
        language="ru",
        question="Кто это?",
    )
    asked = options_key(third.decoding_options(asked=True))
    assert asked != options_key(third.decoding_options())
    own = await store.captions.save(third.id, picture=picture, caption=said(), asked=True)
    assert await cached(options_key=asked) == own.id
    assert await cached(options_key=asked, user_id=second.user_id) is None
    assert await cached() == row.id
    await store.marks.rate(second.user_id, own.id, 5)
    assert (await store.erasure.erase(user.id)).captions == 1
    assert await store.captions.get(own.id) is None
    assert await store.captions.get(row.id) is not None, "somebody else sent the picture too"


async def test_the_same_picture_of_many_people_at_once(chat: Chat, store: Store) -> None:
    people = [await chat.person(number) for number in range(100, 115)]
    data = meme()
    rows = await asyncio.gather(*(chat.answer(person, data) for person in people))
    assert len({row.picture_id for row in rows}) == 1
    assert len({row.id for row in rows}) == len(people)


async def test_times_are_utc(chat: Chat, store: Store) -> None:
    before = now() - timedelta(seconds=1)
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    read = await store.captions.get(row.id)
    assert read is not None
    assert read.created_at.tzinfo is UTC
    assert before <= read.created_at <= datetime.now(UTC)
