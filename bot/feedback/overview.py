"""How the bot is doing, as its operator looks at it: by day, by failure, and what people liked least."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import get_args

from sqlalchemy import func, select

from bot.feedback.sessions import Sessions
from bot.feedback.states import UNFINISHED, JobState
from bot.feedback.tables import CaptionRow, Job, Picture, Score, TallyKind, now
from bot.feedback.tallies import Tallies

UNKNOWN = "unknown"  # of failures from before their kinds were written down
_DISLIKED = 2.0  # less than this below 5 is no low mean


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

    def __init__(self, sessions: Sessions, tallies: Tallies) -> None:
        self._sessions = sessions
        self._tallies = tallies

    async def course(self, days: int) -> list[Day]:
        """A row a day, the oldest first, today last."""
        first = _first(days)
        given: dict[str, Counter[str]] = {kind: Counter() for kind in get_args(TallyKind)}
        sums = Counter[str]()  # of the marks
        for (at, kind, detail), number in (await self._tallies.since(first, *get_args(TallyKind))).items():
            given[kind][at] += number
            if kind == "mark":
                sums[at] += number * int(detail)
        rows = []
        for number in range(days):
            day = first + timedelta(days=number)
            at = day.isoformat()
            answered, failed, marks = given["answered"][at], given["failed"][at], given["mark"][at]
            rows.append(Day(day, answered, failed, marks, sums[at] / marks if marks else None))
        return rows

    async def failures(self, days: int) -> dict[str, int]:
        """How many pictures got no caption on these days, by kind, the most frequent first."""
        kinds = Counter[str]()
        for (_, _, kind), number in (await self._tallies.since(_first(days), "failed")).items():
            kinds[kind or UNKNOWN] += number
        return dict(sorted(kinds.items(), key=lambda one: (-one[1], one[0])))

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
        """The captions with the lowest mean marks whose pictures are kept, of those marked in that time."""
        lowest = (
            select(Score)
            .where(Score.kept, Score.shortfall > _DISLIKED, Score.marked_at >= now() - timedelta(days=days))
            .order_by(Score.shortfall.desc(), Score.marks.desc(), Score.caption_id.desc())
            .limit(most)
            .subquery()
        )
        statement = (
            select(CaptionRow, Picture, lowest.c.total, lowest.c.marks)
            .join(lowest, lowest.c.caption_id == CaptionRow.id)
            .join(Picture, Picture.id == CaptionRow.picture_id)
            .where(Picture.path.is_not(None))
            .order_by(lowest.c.shortfall.desc(), lowest.c.marks.desc(), lowest.c.caption_id.desc())
        )
        async with self._sessions.reading() as session:
            rows = (await session.execute(statement)).all()
        return [Disliked(caption, picture, total / marks, marks) for caption, picture, total, marks in rows]


def _first(days: int) -> date:
    """The first of so many days, of which today (UTC) is the last."""
    return now().date() - timedelta(days=days - 1)
