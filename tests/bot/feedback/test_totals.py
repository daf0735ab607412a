"""What is counted as it is said is what counting anew gives, whatever happens."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.feedback import database
from bot.feedback.database import NotStored
from bot.feedback.overview import UNKNOWN, Day
from bot.feedback.reports import ModelStats
from bot.feedback.retention import Keep
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Correction, Job, Picture, Place, Rating, Score, Tally, User, now
from inference.common.types import DecodingOptions
from tests.bot.feedback.conftest import Chat, fields, meme, said
from tests.bot.feedback.test_migrations import migrate_to

PEOPLE = 4
DAYS = 40
PICTURES = [meme(f"КАРТИНКА {number}") for number in range(3)]
MODELS = ("meme-small", "large")


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = database.create_engine(database.database_url(url))
    yield engine
    await engine.dispose()


async def counted_anew(engine: AsyncEngine) -> dict[str, ModelStats]:
    """By model; as `/stats` once counted, from the rows themselves."""
    async with engine.connect() as connection:
        rated = select(CaptionRow.model).join(Rating, Rating.caption_id == CaptionRow.id)
        once = select(Correction.user_id, Correction.caption_id).distinct().subquery()
        marks: dict[str, dict[int, int]] = {}
        by_mark = rated.add_columns(Rating.mark, func.count()).group_by(CaptionRow.model, Rating.mark)
        for model, mark, count in await connection.execute(by_mark):
            marks.setdefault(model, {})[mark] = count
        people = await _by_model(connection, rated.add_columns(func.count(Rating.user_id.distinct())))
        every = select(CaptionRow.model, func.count())
        corrections = await _by_model(connection, every.join(once, once.c.caption_id == CaptionRow.id))
        variants = await _by_model(connection, every.join(Job, Job.source_caption_id == CaptionRow.id))
        return {
            model: ModelStats(
                model=model,
                checkpoint="c" * 64,
                captions=captions,
                marks=marks.get(model, {}),
                corrections=corrections.get(model, 0),
                raters=people.get(model, 0),
                variants=variants.get(model, 0),
            )
            for model, captions in (await _by_model(connection, every)).items()
        }


async def _by_model(connection: AsyncConnection, counts: Select[*tuple[Any, ...]]) -> dict[str, int]:
    return dict((await connection.execute(counts.group_by(CaptionRow.model))).all())


async def assert_counted(store: Store, engine: AsyncEngine) -> None:
    stats = await store.reports.stats()
    assert {model.model: model for model in stats.models} == await counted_anew(engine)
    async with engine.connect() as connection:
        marks = (await connection.execute(select(Rating.caption_id, Rating.mark, Rating.updated_at))).all()
        jobs = (await connection.execute(select(Job.state, Job.failure, Job.updated_at))).all()
        scored = select(Score.caption_id, Score.marks, Score.total)
        scores = {caption: (many, total) for caption, many, total in await connection.execute(scored)}
        kept = set(
            await connection.scalars(
                select(CaptionRow.id)
                .join(Picture, Picture.id == CaptionRow.picture_id)
                .where(Picture.path.is_not(None))
            )
        )
    assert stats.jobs == Counter(state.value for state, _, _ in jobs)
    assert_days(await store.overview.course(DAYS), marks, jobs)
    failed = [kind or UNKNOWN for state, kind, _ in jobs if state == "failed"]
    assert await store.overview.failures(DAYS) == Counter(failed)
    means: dict[int, list[int]] = defaultdict(list)
    for caption, mark, _ in marks:
        means[caption].append(mark)
    assert scores == {caption: (len(given), sum(given)) for caption, given in means.items()}
    low = [
        (sum(given) / len(given), -len(given), -caption)
        for caption, given in means.items()
        if caption in kept and sum(given) / len(given) < 3
    ]
    told = await store.overview.disliked(DAYS, most=100)
    assert [(one.mean_mark, -one.marks, -one.caption.id) for one in told] == sorted(low)


def assert_days(course: list[Day], marks: Sequence[Any], jobs: Sequence[Any]) -> None:
    """These days are what the rows say, none of which is older."""
    assert len(course) == DAYS
    for one in course:
        given = [mark for _, mark, at in marks if at.date() == one.day]
        ended = Counter(state for state, _, at in jobs if at.date() == one.day)
        assert (one.answered, one.failed, one.marks) == (ended["answered"], ended["failed"], len(given))
        assert one.mean_mark == (sum(given) / len(given) if given else None)


async def numbers(engine: AsyncEngine, table: type[CaptionRow] | type[Picture]) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.scalars(select(table.id).order_by(table.id))).all())


class Life:
    """Whatever may happen, by numbers that need fit nothing."""

    def __init__(self, store: Store, engine: AsyncEngine) -> None:
        self.store = store
        self.engine = engine
        self.chat = Chat(store)

    async def describe(self, person: User, number: int) -> None:
        picture = fields(PICTURES[number % len(PICTURES)])
        job = await self.chat.job(person, picture.file_unique_id)
        caption = said(model=MODELS[number // len(PICTURES) % len(MODELS)])
        await self.store.captions.save(job.id, picture=picture, caption=caption)
        if number % 4:
            await self.store.jobs.answered(job.id, number)

    async def fail(self, person: User, number: int) -> None:
        job = await self.chat.job(person, "u")
        await self.store.jobs.failed(job.id, "a reason", ("timeout", None)[number % 2])
        if number % 3 == 0:
            await self.store.jobs.retry(job.id)

    async def allow(self, person: User, number: int) -> None:
        """Let pictures be kept from now on."""
        await self.store.people.set_consent(person.id, True)

    async def forbid(self, person: User, number: int) -> None:
        await self.store.people.set_consent(person.id, False)

    async def grow_old(self, person: User, number: int) -> None:
        """Much is of some days before."""
        before = now() - timedelta(days=number % (DAYS - 10), hours=number)
        async with self.engine.begin() as connection:
            for table, key in ((Rating, Rating.caption_id), (Job, Job.id)):
                older = update(table).where(key % 2 == number % 2).values(updated_at=before)
                await connection.execute(older)
            if caption := await self.caption(number):
                row = update(CaptionRow).where(CaptionRow.id <= caption)
                await connection.execute(row.values(created_at=before))

    async def sweep(self, person: User, number: int) -> None:
        await self.store.retention.sweep(Keep(pictures=number % 3, texts=5))

    async def fold(self, person: User, number: int) -> None:
        await self.store.tallies.fold()

    async def rate(self, person: User, number: int) -> None:
        if caption := await self.caption(number):
            await self.store.marks.rate(person.id, caption, 1 + number % 5)

    async def correct(self, person: User, number: int) -> None:
        if caption := await self.caption(number):
            await self.store.marks.correct(person.id, caption, f"исправлено {number}")

    async def vary(self, person: User, number: int) -> None:
        if caption := await self.caption(number):
            await self.store.jobs.accept(
                user_id=person.id,
                place=Place(person.telegram_id),
                message_id=number,
                file_id="f",
                file_unique_id="u",
                language="ru",
                kind="variant",
                options=DecodingOptions(seed=number),
                source_caption_id=caption,
            )

    async def erase(self, person: User, number: int) -> None:
        await self.store.erasure.erase(person.id)

    async def delete_caption(self, person: User, number: int) -> None:
        """As an operator might, past all code."""
        if caption := await self.caption(number):
            async with self.engine.begin() as connection:
                await connection.execute(delete(CaptionRow).where(CaptionRow.id == caption))

    async def delete_person(self, person: User, number: int) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(delete(User).where(User.id == person.id))

    async def delete_pictures(self, person: User, number: int) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(delete(Picture).where(Picture.id % 2 == number % 2))

    async def caption(self, number: int) -> int | None:
        """One that there is."""
        found = await numbers(self.engine, CaptionRow)
        return found[number % len(found)] if found else None

    async def live(self, steps: list[tuple[str, int, int]]) -> None:
        for name, person, number in steps:
            user = await self.store.people.meet(1 + person % PEOPLE, language="ru")
            await getattr(self, name)(user, number)


OFTEN = ["describe", "describe", "rate", "rate", "rate", "rate", "correct", "vary", "allow", "forbid"]
DELETED = ["erase", "delete_caption", "delete_person", "delete_pictures", "sweep"]
SELDOM = [*DELETED, "fail", "grow_old", "fold"]
STEPS = st.tuples(
    st.sampled_from([*OFTEN, *OFTEN, *SELDOM]),
    st.integers(0, PEOPLE - 1),
    st.integers(0, 30),
)


@settings(
    max_examples=10,
    phases=[Phase.generate],  # to shrink takes as long as hundreds of examples
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=15, max_size=35))
async def test_whatever_happens_the_totals_are_true(
    store: Store, engine: AsyncEngine, steps: list[tuple[str, int, int]]
) -> None:
    async with engine.begin() as connection:  # what another example left
        for table in (User, Picture):
            await connection.execute(delete(table))
    await Life(store, engine).live(steps)
    await assert_counted(store, engine)


async def test_many_marks_corrections_and_an_erasure_at_once(store: Store, engine: AsyncEngine) -> None:
    life = Life(store, engine)
    people = [await life.chat.person(1 + number, consent=False) for number in range(PEOPLE)]
    for number, person in enumerate(people):
        for picture in range(2):
            await life.describe(person, number + picture)

    async def press(person: User, number: int) -> None:
        with suppress(NotStored):
            await (life.rate, life.correct)[number % 2](person, number)

    await asyncio.gather(
        *(press(person, number) for number in range(12) for person in people),
        store.erasure.erase(people[0].id),
        *(store.tallies.fold() for _ in range(3)),
    )
    await assert_counted(store, engine)


async def test_what_was_counted_is_few_rows_when_it_is_put_together(
    store: Store, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.feedback.tallies._PORTION", 12)
    life = Life(store, engine)
    await life.live([("describe", 0, 1)])
    await life.live([("rate", number, number) for number in range(40)])
    async with engine.connect() as connection:
        assert (await connection.scalar(select(func.count()).select_from(Tally)) or 0) > 40
    for _ in range(3):  # what a portion parts the next one puts together
        await store.tallies.fold()
        await assert_counted(store, engine)
    async with engine.connect() as connection:
        left = (await connection.execute(select(Tally.kind, Tally.detail, Tally.number))).all()
    assert 0 < len(left) <= 6 * 2 and all(number for _, _, number in left)  # it may be past midnight


async def test_what_was_said_before_there_were_totals_is_counted(
    url: str, store: Store, engine: AsyncEngine
) -> None:
    life = Life(store, engine)
    await life.live([("describe", person, person) for person in range(4)])
    for name in ("rate", "correct", "correct", "vary"):
        await life.live([(name, 0, 1), (name, 1, 2), (name, 1, 3)])
    await assert_counted(store, engine)
    await migrate_to(url, "0015", up=False)
    await life.live([("rate", 2, 1), ("rate", 2, 4), ("correct", 2, 1)])  # by a bot of that time
    await migrate_to(url, "head", up=True)
    assert sum(model.ratings for model in (await store.reports.stats()).models) == 5
    await assert_counted(store, engine)
