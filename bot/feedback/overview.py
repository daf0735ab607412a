"""How the bot is doing, as its operator looks at it: by day, by failure, and what people liked least."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select

from bot.feedback.sessions import Sessions
from bot.feedback.states import UNFINISHED, JobState
from bot.feedback.tables import CaptionRow, Job, Picture, Rating, now

UNKNOWN = "unknown"  # of failures from before their kinds were written down


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day (UTC)."""

    day: date
    answered: int = 0  # pictures
    failed: int = 0
    marks: int = 0  # given or changed last on that day
    mean_mark: float | None = None  # 1..5; None: no marks


@dataclass(frozen=True, slots=True)
class Line:
    """What waits to be answered, in all bots of this database."""

    accepted: int  # nobody works on them yet
    working: int
    oldest: datetime | None  # when the one that waits longest came; None: nothing waits


@dataclass(frozen=True, slots=True)
class Disliked:
    """A caption that people gave low marks, and its picture, which is kept."""

    caption: CaptionRow
    picture: Picture
    mean_mark: float  # 1..5
    marks: int


class Overview:
    """Reads over all aggregates; ``days`` reach back from now."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def course(self, days: int) -> list[Day]:
        """A row a day, the oldest first, today last."""
        today = now().date()
        first = today - timedelta(days=days - 1)
        since = datetime(first.year, first.month, first.day, tzinfo=UTC)
        job_day, mark_day = func.date(Job.updated_at), func.date(Rating.updated_at)
        ended = select(
            job_day,
            func.sum(case((Job.state == JobState.ANSWERED, 1), else_=0)),
            func.sum(case((Job.state == JobState.FAILED, 1), else_=0)),
        ).where(Job.state.in_((JobState.ANSWERED, JobState.FAILED)), Job.updated_at >= since)
        marked = select(mark_day, func.count(), func.avg(Rating.mark)).where(Rating.updated_at >= since)
        async with self._sessions.reading() as session:
            jobs = _by_day(await session.execute(ended.group_by(job_day)))
            marks = _by_day(await session.execute(marked.group_by(mark_day)))
        rows = []
        for number in range(days):
            day = first + timedelta(days=number)
            answered, failed = jobs.get(day, (0, 0))
            count, mean = marks.get(day, (0, None))
            rows.append(Day(day, answered, failed, count, None if mean is None else float(mean)))
        return rows

    async def failures(self, days: int) -> dict[str, int]:
        """How many pictures got no caption, by kind, the most frequent first."""
        kind = func.coalesce(Job.failure, UNKNOWN)
        statement = (
            select(kind, func.count())
            .where(Job.state == JobState.FAILED, Job.updated_at >= now() - timedelta(days=days))
            .group_by(kind)
            .order_by(func.count().desc(), kind)
        )
        async with self._sessions.reading() as session:
            return dict((await session.execute(statement)).all())

    async def line(self) -> Line:
        """What waits."""
        statement = (
            select(Job.state, func.count(), func.min(Job.created_at))
            .where(Job.state.in_(UNFINISHED))
            .group_by(Job.state)
        )
        async with self._sessions.reading() as session:
            rows = (await session.execute(statement)).all()
        counts = {state: count for state, count, _ in rows}
        return Line(
            accepted=counts.get(JobState.ACCEPTED, 0),
            working=counts.get(JobState.WORKING, 0),
            oldest=min((first for _, _, first in rows), default=None),
        )

    async def disliked(self, days: int, *, most: int) -> list[Disliked]:
        """The captions with the lowest mean marks of that time, whose pictures are kept."""
        mean, count = func.avg(Rating.mark), func.count()
        # By a column alone SQLite goes through all marks in its order, instead of those of that time.
        caption_id = (Rating.caption_id + 0).label("caption_id")
        rated = (
            select(caption_id, mean.label("mean"), count.label("marks"))
            .where(Rating.updated_at >= now() - timedelta(days=days))
            .group_by(caption_id)
            .having(mean < 3)
            .subquery()
        )
        statement = (
            select(CaptionRow, Picture, rated.c.mean, rated.c.marks)
            .join(rated, rated.c.caption_id == CaptionRow.id)
            .join(Picture, Picture.id == CaptionRow.picture_id)
            .where(Picture.path.is_not(None))
            .order_by(rated.c.mean, rated.c.marks.desc(), CaptionRow.id.desc())
            .limit(most)
        )
        async with self._sessions.reading() as session:
            rows = (await session.execute(statement)).all()
        return [Disliked(caption, picture, float(low), marks) for caption, picture, low, marks in rows]


def _by_day(rows: Iterable[Any]) -> dict[date, tuple[Any, ...]]:
    """What stands behind the day in each row. SQLite has days as texts."""
    return {day if isinstance(day, date) else date.fromisoformat(day): tuple(rest) for day, *rest in rows}
