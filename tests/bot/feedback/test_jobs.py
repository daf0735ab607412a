"""Jobs: accepted once, worked on by one, finished also across a kill."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bot.feedback.clock import ago
from bot.feedback.database import NotStored
from bot.feedback.jobs import options_key
from bot.feedback.states import ANSWER, CLAIM, FAIL, RETRY, TAKE_UP, JobState, Move
from bot.feedback.store import Store
from bot.feedback.tables import Choice, Job, Place, now
from inference.common.types import DecodingOptions
from tests.bot.conftest import unfinished
from tests.bot.feedback.conftest import Chat, fields, meme


async def test_numbers_larger_than_32_bits(store: Store) -> None:
    user = await store.people.meet(7_123_456_789, language="ru")
    ((job, _),) = await store.jobs.accept(
        user_id=user.id,
        place=Place(-1_002_123_456_789),
        message_id=5,
        file_id="f",
        file_unique_id="u",
        language="ru",
    )
    read = await store.jobs.get(job.id)
    assert read is not None and read.chat_id == -1_002_123_456_789


async def test_a_redelivered_update_makes_no_second_job(store: Store) -> None:
    user = await store.people.meet(10, language="ru")

    async def accept(**changes: Any) -> tuple[int, bool]:
        usual: dict[str, Any] = {
            "user_id": user.id,
            "place": Place(10),
            "message_id": 5,
            "file_id": "f",
            "file_unique_id": "u",
            "language": "ru",
        }
        ((job, created),) = await store.jobs.accept(**(usual | changes))
        return job.id, created

    many = await asyncio.gather(*(accept() for _ in range(20)))
    assert len({number for number, _ in many}) == 1
    assert sum(created for _, created in many) == 1
    # What the person chose meanwhile makes no other update of it; a press is known by its seed.
    assert not (await accept(options=DecodingOptions("own", detail="short")))[1]
    assert (await accept(options=DecodingOptions("own", detail="short"), again=True))[1]
    assert (await accept(kind="variant"))[1]
    for seed in (1, 2):
        drawn = DecodingOptions(strategy="sample", seed=seed)
        assert (await accept(kind="variant", options=drawn))[1]
        assert not (await accept(kind="variant", options=drawn))[1]
    assert (await accept(message_id=6))[1]
    assert (await accept(place=Place(11)))[1]


async def test_two_choices_make_two_jobs_and_a_redelivered_update_no_third(chat: Chat, store: Store) -> None:
    user = await chat.person(10)

    async def accept(*choices: Choice, again: bool = False) -> list[tuple[int, bool]]:
        found = await store.jobs.accept(
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

    pair = Choice("one", 1, ("two",)), Choice("two", 2, ("one",))
    (first, _), (second, _) = made = await accept(*pair)
    assert [created for _, created in made] == [True, True]
    # Meanwhile the operator, or the person, may have chosen another model.
    assert await accept(Choice("three")) == [(first, False), (second, False)]
    assert await accept(*pair, again=True) == [(first, False), (second, False)]
    ((third, created),) = await accept(Choice("three"), again=True)
    assert created
    jobs = [await store.jobs.get(number) for number in (first, second, third)]
    assert [job and (job.model, job.part, job.compared_with) for job in jobs] == [
        ("one", 1, ("two",)),
        ("two", 2, ("one",)),
        ("three", 0, None),
    ]
    # With a third one beside them the first two are not described anew, but know of it.
    more = [
        Choice(name, part, others)
        for part, name, others in (
            (1, "one", ("two", "four")),
            (2, "two", ("one", "four")),
            (3, "four", ("one", "two")),
        )
    ]
    *known, (fourth, created) = await accept(*more, again=True)
    assert known == [(first, False), (second, False)] and created
    for number, earlier in ((first, []), (second, [first]), (fourth, [first, second]), (third, [])):
        job = await store.jobs.get(number)
        assert job is not None
        assert [one.id for one in await store.jobs.earlier_parts(job)] == earlier
    again = await store.jobs.get(second)
    assert again is not None and again.compared_with == ("one", "four")


async def test_a_job_keeps_all_of_its_place(store: Store) -> None:
    user = await store.people.meet(10, language="ru")
    for number, place in enumerate(
        (
            Place(-100, thread_id=50),
            Place(10, business_connection_id="connection"),
            Place(-200, direct_messages_topic_id=2**51),
            Place(10),
        )
    ):
        ((job, _),) = await store.jobs.accept(
            user_id=user.id,
            place=place,
            message_id=number,
            file_id="f",
            file_unique_id="u",
            language="ru",
        )
        read = await store.jobs.get(job.id)
        assert read is not None and read.place == place


async def test_a_job_goes_through_its_states(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    options = DecodingOptions(strategy="sample", seed=3, top_p=0.9)
    job = await chat.job(user, "u", options)
    assert (job.state, job.attempts, job.decoding_options()) == ("accepted", 0, options)
    assert job.options_key == options_key(options) != options_key(None)
    claimed = await store.jobs.claim(job.id)
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == ("working", 1)
    assert await store.jobs.claim(job.id) is None, "two tasks must not answer one picture"
    resumed = await store.jobs.claim(job.id, resume=True)
    assert resumed is not None and resumed.attempts == 2
    await store.jobs.mark_reply_sending(job.id)
    [pending] = await unfinished(store)
    assert pending.sending_at is not None and pending.sending_at.tzinfo is not None
    await store.jobs.answered(job.id, 77)
    assert await unfinished(store) == []
    assert await store.jobs.claim(job.id, resume=True) is None
    assert not await store.jobs.retry(job.id), "what was answered is not answered again"


async def in_state(state: JobState, chat: Chat) -> int:
    """The number of a new job that was brought to this state."""
    jobs, job = chat.store.jobs, await chat.job(await chat.person(10), "u")
    if state is not JobState.ACCEPTED:
        await jobs.claim(job.id)
    if state is JobState.ANSWERED:
        await jobs.answered(job.id, 77)
    if state is JobState.FAILED:
        await jobs.failed(job.id, "the file is gone")
    return job.id


@pytest.mark.parametrize("start", JobState)
async def test_a_job_moves_from_nowhere_but_where_its_move_begins(
    chat: Chat, store: Store, start: JobState
) -> None:
    moves: dict[Move, Callable[[int], Awaitable[object]]] = {
        CLAIM: store.jobs.claim,
        TAKE_UP: lambda number: store.jobs.claim(number, resume=True),
        RETRY: store.jobs.retry,
        ANSWER: lambda number: store.jobs.answered(number, 78),
        FAIL: lambda number: store.jobs.failed(number, "another reason"),
    }
    for move, make in moves.items():
        number = await in_state(start, chat)
        await make(number)
        read = await store.jobs.get(number)
        assert read is not None and read.state is (move.after if start in move.before else start), move


async def test_a_failed_job_may_be_tried_again(chat: Chat, store: Store) -> None:
    job = await chat.job(await chat.person(10), "u")
    await store.jobs.claim(job.id)
    await store.jobs.failed(job.id, "the file is gone")
    read = await store.jobs.get(job.id)
    assert read is not None and (read.state, read.reason) == ("failed", "the file is gone")
    assert await unfinished(store) == []
    assert await store.jobs.retry(job.id)
    assert [pending.id for pending in await unfinished(store)] == [job.id]


async def test_only_one_of_many_claims_a_job(chat: Chat, store: Store) -> None:
    job = await chat.job(await chat.person(10), "u")
    claims = await asyncio.gather(*(store.jobs.claim(job.id) for _ in range(20)))
    assert sum(claim is not None for claim in claims) == 1


async def test_what_somebody_speaks_for_is_not_taken_over(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    held, left, done = [await chat.job(user, name) for name in ("held", "left", "done")]
    await store.jobs.claim(left.id)
    await store.jobs.failed(done.id, "no reason")
    async with store.sessions.transaction() as session:
        await session.execute(update(Job).values(held_at=ago(60)))
    await store.jobs.hold([held.id])
    assert [job.id for job in await store.jobs.take_over(silent_for=30)] == [left.id]
    assert await store.jobs.take_over(silent_for=30) == [], "now it is held"
    assert [job.id for job in await store.jobs.take_over()] == [held.id, left.id]


async def test_leases_go_by_the_databases_clock(
    chat: Chat, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two replicas one has a clock that is an hour behind: what it works on is nobody else's yet."""
    monkeypatch.setattr("bot.feedback.jobs.now", lambda: now() - timedelta(hours=1))
    job = await chat.job(await chat.person(10), "u")
    await store.updates.take(7, {"update_id": 7}, None)
    assert await store.jobs.claim(job.id) is not None
    assert await store.jobs.take_over(silent_for=30) == []
    assert await store.updates.take_over(silent_for=30) == {}
    read = await store.jobs.get(job.id)
    assert read is not None and read.held_at is not None
    assert abs(read.held_at - now()) < timedelta(minutes=1)


async def test_who_stood_still_while_another_took_over_says_nothing(
    chat: Chat, store: Store, url: str, data_dir: Path
) -> None:
    person = await chat.person(10)
    job, waiting = await chat.job(person, "u"), await chat.job(person, "v")
    await store.jobs.claim(job.id)
    await store.jobs.mark_reply_sending(job.id)
    async with await Store.open(url, data_dir) as other:
        assert await other.jobs.claim(job.id, resume=True) is None, "it is not taken over yet"
        assert [taken.id for taken in await other.jobs.take_over()] == [job.id, waiting.id]
        for late in (store.jobs.mark_reply_sending, store.jobs.reply_not_sent, store.jobs.answer_lost):
            with pytest.raises(NotStored, match="another bot has taken it over"):
                await late(job.id)
        assert await store.jobs.claim(waiting.id) is None
        await store.jobs.hold([job.id])
        assert await store.jobs.claim(job.id, resume=True) is None
        assert await other.jobs.claim(job.id, resume=True) is not None
        await other.jobs.mark_reply_sending(job.id)
        assert (await other.jobs.answer_lost(job.id)).lost_answers == 1
    assert (await store.reports.stats()).lost_answers == 1


async def test_what_a_bot_from_before_there_were_owners_works_on_is_not_taken_over(
    chat: Chat, store: Store
) -> None:
    job = await chat.job(await chat.person(10), "u")
    async with store.sessions.transaction() as session:
        await session.execute(update(Job).values(owner=None, held_at=None, updated_at=ago(20)))
    assert await store.jobs.take_over(silent_for=30) == []
    assert [taken.id for taken in await store.jobs.take_over(silent_for=10)] == [job.id]


async def test_a_reply_that_did_not_go_out_is_no_longer_on_its_way(chat: Chat, store: Store) -> None:
    job = await chat.job(await chat.person(10), "u")
    await store.jobs.mark_reply_sending(job.id)
    await store.jobs.reply_not_sent(job.id)
    read = await store.jobs.get(job.id)
    assert read is not None and read.sending_at is None


async def test_the_job_of_a_caption_is_that_of_the_chat(chat: Chat, store: Store) -> None:
    data = meme()
    row = await chat.answer(await chat.person(10), data)
    second = await chat.job(await chat.person(11), fields(data).file_unique_id)
    await store.captions.use(second.id, row.id)
    for chat_id, expected in ((10, 10), (11, 11), (12, 11)):
        found = await store.jobs.of_caption(row.id, chat_id, 0)
        assert found is not None and found.chat_id == expected
    assert await store.jobs.of_caption(row.id + 1000, 10, 0) is None


async def test_the_job_of_a_caption_is_that_of_the_message_which_shows_it(chat: Chat, store: Store) -> None:
    """In one chat the same picture may be described in two topics."""
    data, person = meme(), await chat.person(10)
    row = await chat.answer(person, data)
    jobs = [await chat.job(person, fields(data).file_unique_id) for _ in range(2)]
    for number, job in enumerate(jobs):
        await store.captions.use(job.id, row.id)
        await store.jobs.answered(job.id, 900 + number)
    for number, job in enumerate(jobs):
        found = await store.jobs.of_caption(row.id, 10, 900 + number)
        assert found is not None and found.id == job.id


_ACCEPT_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from bot.feedback.store import Store
from bot.feedback.tables import Place

async def main():
    store = await Store.open(sys.argv[1], Path(sys.argv[2]))
    user = await store.people.meet(10, language="ru")
    ((job, _),) = await store.jobs.accept(
        user_id=user.id, place=Place(10), message_id=5, file_id="f", file_unique_id="u", language="ru"
    )
    await store.jobs.claim(job.id)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_an_accepted_picture_survives_kill_9(url: str, data_dir: Path) -> None:
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _ACCEPT_AND_DIE, url, str(data_dir)], timeout=60
    )
    assert died.returncode == -signal.SIGKILL
    async with await Store.open(url, data_dir) as store:
        [job] = await store.jobs.take_over()
        assert (job.state, job.file_id, job.message_id, job.language) == ("working", "f", 5, "ru")
        claimed = await store.jobs.claim(job.id, resume=True)
        assert claimed is not None and claimed.attempts == 2
