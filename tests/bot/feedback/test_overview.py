"""What the operator's page and `stats --days` read: by day, by kind of failure, what was liked least."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from bot.feedback.commands import format_course, format_disliked
from bot.feedback.overview import UNKNOWN
from bot.feedback.states import JobState
from bot.feedback.store import Store
from bot.feedback.tables import Job, Rating
from tests.bot.feedback.conftest import Chat, meme
from tests.bot.operating.drawn import fill


async def test_days_failures_and_low_marks_are_those_of_the_tables(store: Store, tmp_path: Path) -> None:
    await fill(store, days=30, pictures=60)
    course = await store.overview.course(40)
    assert [one.day for one in course] == sorted(one.day for one in course)
    async with store.sessions.reading() as session:
        states = dict((await session.execute(select(Job.state, func.count()).group_by(Job.state))).all())
        marks = (await session.execute(select(func.count(), func.avg(Rating.mark)).select_from(Rating))).one()
    assert sum(one.answered for one in course) == states[JobState.ANSWERED]
    assert sum(one.failed for one in course) == states[JobState.FAILED]
    assert sum(one.marks for one in course) == marks[0]
    weighed = sum((one.mean_mark or 0) * one.marks for one in course)
    assert abs(weighed - float(marks[1]) * marks[0]) < 1e-6
    failures = await store.overview.failures(40)
    assert sum(failures.values()) == states[JobState.FAILED] and UNKNOWN not in failures
    line = await store.overview.line()
    assert (line.accepted, line.working, line.oldest) == (0, 0, None)
    told = format_course(course, failures, line)
    assert len(told.splitlines()) == 43 and "Waiting: 0, in work: 0" in told

    disliked = await store.overview.disliked(40, most=5)
    assert 0 < len(disliked) <= 5
    assert [one.mean_mark for one in disliked] == sorted(one.mean_mark for one in disliked)
    for one in disliked:
        assert one.mean_mark < 3
        assert one.picture.path is not None and store.pictures.file(one.picture.path).exists()
        assert one.picture.path in format_disliked(one) and one.caption.text in format_disliked(one)


async def test_a_failure_keeps_its_kind_and_one_of_before_has_none(store: Store) -> None:
    await fill(store, days=1, pictures=2)
    async with store.sessions.reading() as session:
        first, second = await session.scalars(select(Job).order_by(Job.id))
    await store.jobs.failed(first.id, "a reason", "timeout")
    await store.jobs.failed(second.id, "a reason of before")
    assert await store.overview.failures(2) == {"timeout": 1, UNKNOWN: 1}


async def test_what_was_liked_least_follows_marks_erasures_and_permissions(chat: Chat, store: Store) -> None:
    anna, boris = await chat.person(1, consent=False), await chat.person(2)
    row = await chat.answer(anna, meme())

    async def told() -> list[tuple[int, float, int]]:
        found = await store.overview.disliked(30, most=5)
        return [(one.caption.id, one.mean_mark, one.marks) for one in found]

    await store.marks.rate(boris.id, row.id, 1)
    assert await told() == [], "the picture is not kept"
    job = await chat.job(boris, "again")
    await store.captions.use(job.id, row.id, data=meme())
    assert await told() == [(row.id, 1.0, 1)]
    await store.marks.rate(anna.id, row.id, 2)
    assert await told() == [(row.id, 1.5, 2)]
    await store.marks.rate(anna.id, row.id, 5)
    assert await told() == []
    await store.marks.rate(boris.id, row.id, 2)
    await store.marks.rate(anna.id, row.id, 3)
    assert await told() == [(row.id, 2.5, 2)]
    await store.people.set_consent(boris.id, False)
    assert await told() == []
    await store.people.set_consent(boris.id, True)
    job = await chat.job(boris, "once more")
    await store.captions.use(job.id, row.id, data=meme())
    clara = await chat.person(3)
    await store.marks.rate(clara.id, row.id, 5)
    assert await told() == []
    await store.erasure.erase(clara.id)
    assert await told() == [(row.id, 2.5, 2)]
