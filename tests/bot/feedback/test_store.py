"""People, jobs, captions and feedback, also by many at once and across a kill."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.feedback.reports import ModelStats
from bot.feedback.store import MessageKey, NotStored, Store, options_key
from bot.feedback.tables import Choice, Place, Shown, now
from inference.common.types import DecodingOptions, Version
from tests.bot.feedback.conftest import CHECKPOINT, MODEL, PROGRAM, Chat, fields, meme, said


async def test_a_person_is_met_once(store: Store) -> None:
    first = await store.user(10, language="ru", username="anna")
    assert (first.language, first.consent, first.active) == ("ru", False, True)
    again = await store.user(10, language="ru", username="anna2")
    assert (again.id, again.username) == (first.id, "anna2")
    assert (await store.stats()).users == 1


async def test_a_chosen_language_outlives_telegrams(store: Store) -> None:
    user = await store.user(10, language="ru")
    assert (await store.user(10, language="en")).language == "en"
    await store.set_language(user.id, "ru")
    assert (await store.user(10, language="en")).language == "ru"


async def test_who_blocked_the_bot_is_active_again_with_the_next_message(store: Store) -> None:
    await store.deactivate(10)  # unknown: nothing happens
    await store.user(10, language="ru")
    await store.deactivate(10)
    blocked = await store.find_user(10)
    assert blocked is not None and not blocked.active
    assert (await store.user(10, language="ru")).active


async def test_numbers_larger_than_32_bits(store: Store) -> None:
    user = await store.user(7_123_456_789, language="ru")
    ((job, _),) = await store.accept(
        user_id=user.id,
        place=Place(-1_002_123_456_789),
        message_id=5,
        file_id="f",
        file_unique_id="u",
        language="ru",
    )
    read = await store.job(job.id)
    assert read is not None and read.chat_id == -1_002_123_456_789


async def test_a_redelivered_update_makes_no_second_job(store: Store) -> None:
    user = await store.user(10, language="ru")

    async def accept(**changes: object) -> tuple[int, bool]:
        ((job, created),) = await store.accept(
            **{  # type: ignore[arg-type]
                "user_id": user.id,
                "place": Place(10),
                "message_id": 5,
                "file_id": "f",
                "file_unique_id": "u",
                "language": "ru",
                **changes,
            }
        )
        return job.id, created

    many = await asyncio.gather(*(accept() for _ in range(20)))
    assert len({number for number, _ in many}) == 1
    assert sum(created for _, created in many) == 1
    assert (await accept(kind="variant"))[1]
    assert (await accept(options=DecodingOptions(strategy="sample", seed=1)))[1]
    assert (await accept(options=DecodingOptions(strategy="sample", seed=2)))[1]
    assert not (await accept(options=DecodingOptions(strategy="sample", seed=2)))[1]
    assert (await accept(message_id=6))[1]
    assert (await accept(place=Place(11)))[1]


async def test_a_job_goes_through_its_states(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    options = DecodingOptions(strategy="sample", seed=3, top_p=0.9)
    job = await chat.job(user, "u", options)
    assert (job.state, job.attempts, job.decoding_options()) == ("accepted", 0, options)
    assert job.options_key == options_key(options) != options_key(None)
    claimed = await store.claim(job.id)
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == ("working", 1)
    assert await store.claim(job.id) is None, "two tasks must not answer one picture"
    resumed = await store.claim(job.id, resume=True)
    assert resumed is not None and resumed.attempts == 2
    await store.mark_reply_sending(job.id)
    [pending] = await store.pending_jobs()
    assert pending.sending_at is not None and pending.sending_at.tzinfo is not None
    await store.answered(job.id, 77)
    assert await store.pending_jobs() == []
    assert await store.claim(job.id, resume=True) is None
    assert not await store.retry(job.id), "what was answered is not answered again"


async def test_a_reply_that_did_not_go_out_is_no_longer_on_its_way(chat: Chat, store: Store) -> None:
    job = await chat.job(await chat.person(10), "u")
    await store.mark_reply_sending(job.id)
    await store.reply_not_sent(job.id)
    read = await store.job(job.id)
    assert read is not None and read.sending_at is None


async def test_the_job_of_a_caption_is_that_of_the_chat(chat: Chat, store: Store) -> None:
    data = meme()
    row = await chat.answer(await chat.person(10), data)
    second = await chat.job(await chat.person(11), fields(data).file_unique_id)
    await store.use_caption(second.id, row.id)
    for chat_id, expected in ((10, 10), (11, 11), (12, 11)):
        found = await store.job_of_caption(row.id, chat_id, 0)
        assert found is not None and found.chat_id == expected
    assert await store.job_of_caption(row.id + 1000, 10, 0) is None


async def test_the_job_of_a_caption_is_that_of_the_message_which_shows_it(chat: Chat, store: Store) -> None:
    """In one chat the same picture may be described in two topics."""
    data, person = meme(), await chat.person(10)
    row = await chat.answer(person, data)
    jobs = [await chat.job(person, fields(data).file_unique_id) for _ in range(2)]
    for number, job in enumerate(jobs):
        await store.use_caption(job.id, row.id)
        await store.answered(job.id, 900 + number)
    for number, job in enumerate(jobs):
        found = await store.job_of_caption(row.id, 10, 900 + number)
        assert found is not None and found.id == job.id


async def test_a_job_keeps_all_of_its_place(store: Store) -> None:
    user = await store.user(10, language="ru")
    for number, place in enumerate(
        (
            Place(-100, thread_id=50),
            Place(10, business_connection_id="connection"),
            Place(-200, direct_messages_topic_id=2**51),
            Place(10),
        )
    ):
        ((job, _),) = await store.accept(
            user_id=user.id,
            place=place,
            message_id=number,
            file_id="f",
            file_unique_id="u",
            language="ru",
        )
        read = await store.job(job.id)
        assert read is not None and read.place == place


async def test_a_failed_job_may_be_tried_again(chat: Chat, store: Store) -> None:
    job = await chat.job(await chat.person(10), "u")
    await store.claim(job.id)
    await store.failed(job.id, "the file is gone")
    read = await store.job(job.id)
    assert read is not None and (read.state, read.reason) == ("failed", "the file is gone")
    assert await store.pending_jobs() == []
    assert await store.retry(job.id)
    assert [pending.id for pending in await store.pending_jobs()] == [job.id]


async def test_only_one_of_many_claims_a_job(chat: Chat, store: Store) -> None:
    job = await chat.job(await chat.person(10), "u")
    claims = await asyncio.gather(*(store.claim(job.id) for _ in range(20)))
    assert sum(claim is not None for claim in claims) == 1


async def test_a_caption_is_read_back_whole(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    picture = fields(meme())
    job = await chat.job(user, picture.file_unique_id)
    caption = said("Кот говорит «мяу\n»", words=("КОТ", "МЯУ 😺"))
    row = await store.save_caption(job.id, picture=picture, caption=caption)
    found = await store.caption(row.id)
    assert found is not None and found.to_caption() == caption
    stored = await store.picture(row.picture_id)
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
    row = await store.save_caption(job.id, picture=picture, caption=said())

    async def cached(**changes: str) -> int | None:
        keys = {
            "file_unique_id": picture.file_unique_id,
            "model": MODEL,
            "checkpoint": CHECKPOINT,
            "program": PROGRAM,
            "options_key": options_key(None),
            **changes,
        }
        version = Version(keys.pop("checkpoint"), keys.pop("program"))
        found = await store.cached_caption(**keys, version=version)
        return None if found is None else found.id

    assert await cached() == row.id
    assert await cached(file_unique_id="other") is None
    assert await cached(model="other") is None
    assert await cached(checkpoint="d" * 64) is None
    assert await cached(program="older") is None
    assert await cached(options_key=options_key(DecodingOptions(beams=7))) is None

    second = await chat.job(await chat.person(11), picture.file_unique_id)
    await store.use_caption(second.id, row.id)
    read = await store.job(second.id)
    assert read is not None and read.caption_id == row.id


async def test_the_same_picture_of_many_people_at_once(chat: Chat, store: Store) -> None:
    people = [await chat.person(number) for number in range(100, 115)]
    data = meme()
    rows = await asyncio.gather(*(chat.answer(person, data) for person in people))
    assert len({row.picture_id for row in rows}) == 1
    assert len({row.id for row in rows}) == len(people)


async def test_a_mark_is_one_row_and_can_be_changed(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    assert await store.rating(user.id, row.id) is None
    assert await store.rate(user.id, row.id, 2) is None
    assert await store.rate(user.id, row.id, 5) == 2
    assert await store.rate(user.id, row.id, 5) == 5
    assert await store.rating(user.id, row.id) == 5
    [model] = (await store.stats()).models
    assert (model.ratings, model.mean_rating, model.marks) == (1, 5.0, {5: 1})


async def test_the_mean_mark_of_a_caption(chat: Chat, store: Store) -> None:
    row = await chat.answer(await chat.person(10), meme())
    assert await store.mean_rating(row.id) == (None, 0)
    for number, mark in ((11, 2), (12, 5)):
        await store.rate((await chat.person(number)).id, row.id, mark)
    assert await store.mean_rating(row.id) == (3.5, 2)


@pytest.mark.parametrize("mark", [0, 6, -1])
async def test_marks_are_one_to_five(chat: Chat, store: Store, mark: int) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    with pytest.raises(ValueError, match="1, 2, 3, 4 or 5"):
        await store.rate(user.id, row.id, mark)
    assert await store.rating(user.id, row.id) is None


async def test_pressing_all_stars_at_once_leaves_one_mark(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    befores = await asyncio.gather(*(store.rate(user.id, row.id, 1 + n % 5) for n in range(25)))
    assert None in befores
    assert await store.rating(user.id, row.id) in range(1, 6)
    assert sum((await store.stats()).models[0].marks.values()) == 1


async def test_the_newest_correction_counts_and_is_found_by_its_prompt(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    prompt = Shown("prompt", caption_id=row.id, user_id=user.id)
    await store.show(MessageKey.of(10, 500), prompt)
    await store.show(MessageKey.of(10, 500), prompt)  # redelivered
    async with await Store.open(url, data_dir) as restarted:
        found = await restarted.shown(MessageKey.of(10, 500))
        assert found is not None
        assert (found.kind, found.caption_id, found.user_id) == ("prompt", row.id, user.id)
        assert await restarted.shown(MessageKey.of(10, 501)) is None
        assert await restarted.shown(MessageKey.of(11, 500)) is None
        await restarted.correct(user.id, row.id, "Первая попытка")
        await restarted.correct(user.id, row.id, "Кот спит на клавиатуре")
    assert await store.correction(user.id, row.id) == "Кот спит на клавиатуре"
    assert (await store.stats()).models[0].corrections == 1


async def test_feedback_on_what_is_not_there_is_refused(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    gone = row.id + 1000
    with pytest.raises(NotStored):
        await store.rate(user.id, gone, 3)
    with pytest.raises(NotStored):
        await store.correct(user.id, gone, "текст")
    with pytest.raises(NotStored):
        await store.show(MessageKey.of(10, 1), Shown("prompt", caption_id=gone, user_id=user.id))
    with pytest.raises(NotStored):
        await store.rate(user.id + 1000, row.id, 3)
    for call in (
        store.answered(gone, 1),
        store.failed(gone, "why"),
        store.mark_reply_sending(gone),
        store.use_caption(gone, row.id),
        store.save_caption(gone, picture=fields(meme()), caption=said()),
        store.set_consent(gone, True),
        store.set_consent(gone, False),
        store.set_language(gone, "ru"),
    ):
        with pytest.raises(NotStored):
            await call
    assert await store.claim(gone) is None


async def test_many_people_at_once_lose_nothing(chat: Chat, store: Store, url: str, data_dir: Path) -> None:
    """Forty whole conversations at the same time, through two stores, as of a bot and a command beside it."""
    async with await Store.open(url, data_dir) as other:
        data = [meme(f"КОТ {number}") for number in range(8)]

        async def talk(number: int) -> None:
            mine = Chat((store, other)[number % 2])
            user = await mine.person(1000 + number, consent=number % 3 == 0)
            row = await mine.answer(user, data[number % len(data)])
            await mine.store.rate(user.id, row.id, 1 + number % 5)
            await mine.store.correct(user.id, row.id, f"Исправление {number}")
            assert await mine.store.rating(user.id, row.id) == 1 + number % 5

        await asyncio.gather(*(talk(number) for number in range(40)))
        stats = await store.stats()
    assert stats.users == 40
    assert stats.consenting_users == 14
    assert stats.pictures == len(data)
    assert stats.jobs == {"answered": 40}
    [model] = stats.models
    assert (model.captions, model.ratings, model.corrections) == (40, 40, 40)
    assert model.mean_rating == 3.0
    found = {item.correction async for item in store.feedback()}
    assert found == {f"Исправление {number}" for number in range(40)}


async def test_stats_are_by_model(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    await store.rate(user.id, row.id, 4)
    job = await chat.job(user, "other")
    picture = replace(fields(meme("ДРУГОЙ")), file_unique_id="other")
    await store.save_caption(job.id, picture=picture, caption=said(model="rudolph"))
    stats = {model.model: model for model in (await store.stats()).models}
    assert stats[MODEL].mean_rating == 4.0
    assert stats["rudolph"].mean_rating is None
    assert (await store.stats()).jobs == {"answered": 1, "accepted": 1}


async def test_times_are_utc(chat: Chat, store: Store) -> None:
    before = now() - timedelta(seconds=1)
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    read = await store.caption(row.id)
    assert read is not None
    assert read.created_at.tzinfo is UTC
    assert before <= read.created_at <= datetime.now(UTC)


_ACCEPT_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from bot.feedback.store import Store
from bot.feedback.tables import Place

async def main():
    store = await Store.open(sys.argv[1], Path(sys.argv[2]))
    user = await store.user(10, language="ru")
    ((job, _),) = await store.accept(
        user_id=user.id, place=Place(10), message_id=5, file_id="f", file_unique_id="u", language="ru"
    )
    await store.claim(job.id)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_an_accepted_picture_survives_kill_9(url: str, data_dir: Path) -> None:
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _ACCEPT_AND_DIE, url, str(data_dir)], timeout=60
    )
    assert died.returncode == -signal.SIGKILL
    async with await Store.open(url, data_dir) as store:
        [job] = await store.pending_jobs()
        assert (job.state, job.file_id, job.message_id, job.language) == ("working", "f", 5, "ru")
        claimed = await store.claim(job.id, resume=True)
        assert claimed is not None and claimed.attempts == 2


async def test_two_choices_make_two_jobs_and_a_redelivered_update_no_third(chat: Chat, store: Store) -> None:
    user = await chat.person(10)

    async def accept(*choices: Choice, again: bool = False) -> list[tuple[int, bool]]:
        found = await store.accept(
            user_id=user.id,
            place=Place(10),
            message_id=5,
            file_id="f",
            file_unique_id="u",
            language="ru",
            choices=choices,
            again=again,
        )
        return [(job.id, created) for job, created in found]

    pair = Choice("one", 1, "two"), Choice("two", 2, "one")
    (first, _), (second, _) = made = await accept(*pair)
    assert [created for _, created in made] == [True, True]
    # Meanwhile the operator, or the person, may have chosen another model.
    assert await accept(Choice("three")) == [(first, False), (second, False)]
    assert await accept(*pair, again=True) == [(first, False), (second, False)]
    ((third, created),) = await accept(Choice("three"), again=True)
    assert created
    jobs = [await store.job(number) for number in (first, second, third)]
    assert [job and (job.model, job.part, job.compared_with) for job in jobs] == [
        ("one", 1, "two"),
        ("two", 2, "one"),
        ("three", 0, None),
    ]
    assert jobs[0] is not None and jobs[1] is not None
    for one, other in ((jobs[0], second), (jobs[1], first)):
        found = await store.other_part(one)
        assert found is not None and found.id == other


async def test_what_somebody_speaks_for_is_not_taken_over(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    held, left, done = [await chat.job(user, name) for name in ("held", "left", "done")]
    await store.claim(left.id)
    await store.failed(done.id, "no reason")
    silent_since = now()
    await store.hold_jobs([held.id])
    assert [job.id for job in await store.take_over(silent_since)] == [left.id]
    assert await store.take_over(silent_since) == [], "now it is held"
    assert [job.id for job in await store.take_over(now())] == [held.id, left.id]


async def test_a_persons_choices_are_kept_until_they_change_them(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    assert (user.model, user.compare_with) == (None, None)
    await store.choose_model(user.id, "hf:org/name")
    await store.compare_with(user.id, "")
    again = await store.user(10, language="en")
    assert (again.model, again.compare_with) == ("hf:org/name", "")
    await store.choose_model(user.id, None)
    await store.compare_with(user.id, None)
    again = await store.user(10, language="en")
    assert (again.model, again.compare_with) == (None, None)
    await store.erase(user.id)
    with pytest.raises(NotStored):
        await store.choose_model(user.id, "x")


@pytest.mark.parametrize(
    ("marks", "low", "high"),
    [
        # n marks of 5: Wilson's lower bound is n / (n + 1.96 ** 2).
        ({5: 1}, 1 + 4 * 0.206549, 5.0),
        ({5: 10}, 1 + 4 * 0.722467, 5.0),
        ({1: 5, 5: 5}, 1 + 4 * 0.236593, 1 + 4 * 0.763407),
        ({3: 10}, 1 + 4 * 0.236593, 1 + 4 * 0.763407),
    ],
)
def test_the_interval_of_a_mean_mark(marks: dict[int, int], low: float, high: float) -> None:
    found = ModelStats("m", "c", 1, marks, 0).interval
    assert found == pytest.approx((low, high), abs=1e-4)


def test_more_marks_make_the_interval_narrower_and_none_make_none() -> None:
    widths = []
    for n in (1, 10, 100, 1000):
        low, high = ModelStats("m", "c", 1, {2: n, 4: n}, 0).interval or (0.0, 9.0)
        assert 1 <= low < 3 < high <= 5
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.2
    assert ModelStats("m", "c", 1, {}, 0).interval is None
