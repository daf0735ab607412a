"""What is read out of the store in one go: its numbers, and what people said about the captions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.common.accounts import SERVICE_ACCOUNTS
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.sessions import Sessions
from bot.feedback.states import UNFINISHED
from bot.feedback.tables import (
    CaptionRow,
    Correction,
    Job,
    ModelVersion,
    Picture,
    Rating,
    Table,
    Total,
    TurnRow,
    User,
)
from bot.feedback.tallies import Tallies

_PERSON = and_(User.telegram_id > 0, User.telegram_id.not_in(SERVICE_ACCOUNTS))
_Z = 1.96  # of the normal distribution: 95 %
_CAPTIONS = 200  # that are read at a time, with all that was said about them

# Of one person about one caption: User.id, mark and when, correction and when.
_Said = tuple[int, int | None, datetime | None, str | None, datetime | None]


@dataclass(frozen=True, slots=True)
class ModelStats:
    """What people said about one checkpoint of one model."""

    model: str
    checkpoint: str
    captions: int
    marks: dict[int, int]  # mark 1..5 -> how many
    corrections: int  # captions that somebody corrected, counted once a person
    raters: int = 0  # people who gave the marks
    variants: int = 0  # times that somebody asked for another version

    @property
    def ratings(self) -> int:
        """How many marks were given."""
        return sum(self.marks.values())

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the mean mark, 95 %, within 1..5; None when nobody rated.

        Wilson's score interval (Wilson 1927), the mark put on 0..1. No marks on that scale with the same mean
        vary more than zeros and ones do, so it is rather too wide than too narrow; it also holds for two or
        three marks, and where all are equal. It takes the marks as independent of each other.
        """
        if self.mean_rating is None:
            return None
        share, n, z2 = (self.mean_rating - 1) / 4, self.ratings, _Z * _Z
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        return 1 + 4 * max(middle - half, 0.0), 1 + 4 * min(middle + half, 1.0)

    @property
    def mean_rating(self) -> float | None:
        """1..5; None when nobody rated."""
        return (
            sum(mark * count for mark, count in self.marks.items()) / self.ratings if self.ratings else None
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """The whole store in numbers; ``models`` with the most captions first."""

    users: int
    active_users: int
    consenting_users: int
    pictures: int
    kept_pictures: int
    jobs: dict[str, int] = field(default_factory=dict)  # state -> how many
    lost_answers: int = 0  # replies of which Telegram did not say whether they arrived
    models: tuple[ModelStats, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A caption and its picture, as far as an export tells of them: see CaptionRow and Picture."""

    caption_id: int
    model: str
    checkpoint: str
    options: dict[str, Any]
    words: list[str]
    text: str
    created_at: datetime
    path: str | None
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """What one person said about one caption."""

    user: str  # pseudonym: 16 hexadecimal digits
    caption: Described  # the same object for all that was said about it
    mark: int | None  # 1..5
    rated_at: datetime | None
    correction: str | None
    corrected_at: datetime | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """One turn: a question of a person about a picture, and its answer."""

    user: str  # pseudonym, as of :class:`Feedback`
    turn: TurnRow
    caption: str  # the description under which it was asked
    words: list[str]  # read on the picture
    path: str | None  # of the picture, see Picture
    sha256: str


async def count_rows(session: AsyncSession, table: type[Table], *conditions: ColumnElement[bool]) -> int:
    """How many rows fit."""
    return (await session.scalar(select(func.count()).select_from(table).where(*conditions))) or 0


class Reports:
    """Reads over all aggregates."""

    def __init__(self, sessions: Sessions, pseudonyms: Pseudonyms, tallies: Tallies) -> None:
        self._sessions = sessions
        self._pseudonyms = pseudonyms
        self._tallies = tallies

    async def stats(self) -> Stats:
        """The whole store in numbers."""
        async with self._sessions.reading() as session:
            waiting = select(Job.state, func.count()).where(Job.state.in_(UNFINISHED)).group_by(Job.state)
            jobs = dict((await session.execute(waiting)).all())
            lost = select(func.sum(Job.lost_answers)).where(Job.lost_answers > 0)
            return Stats(
                users=await count_rows(session, User, _PERSON),
                active_users=await count_rows(session, User, _PERSON, User.active.is_(True)),
                consenting_users=await count_rows(session, User, User.consent.is_(True)),
                pictures=await count_rows(session, Picture),
                kept_pictures=await count_rows(session, Picture, Picture.path.is_not(None)),
                jobs=jobs | await self._tallies.totals(session, "answered", "failed"),
                lost_answers=await session.scalar(lost) or 0,
                models=await _models(session),
            )

    async def kept(self) -> tuple[int, int]:
        """How many pictures are kept, and their bytes together."""
        async with self._sessions.reading() as session:
            number, size = (
                await session.execute(
                    select(func.count(), func.coalesce(func.sum(Picture.size), 0)).where(
                        Picture.path.is_not(None)
                    )
                )
            ).one()
            return number, size

    async def feedback(
        self, *, since: datetime | None = None, min_rating: int | None = None
    ) -> AsyncIterator[Feedback]:
        """One row a person and caption with a mark or a correction, in the order of the captions' numbers.

        ``since``: the mark or the correction is not older. ``min_rating`` (1..5): the mark is at least that;
        rows with a correction and no mark stay too. It is read bit by bit, so that it takes no more memory
        for many rows and no writing waits for its end: what is said meanwhile may be in it, or not.
        """
        last = 0
        while True:
            async with self._sessions.reading() as session:
                page = [Described(*row) for row in await session.execute(_page(last, since))]
                if not page:
                    return
                first, last = page[0].caption_id, page[-1].caption_id
                said = await _said(session, first, last)
            for caption in page:
                for user_id, mark, rated_at, correction, corrected_at in said[caption.caption_id]:
                    if since is not None and not any(at and at >= since for at in (rated_at, corrected_at)):
                        continue
                    if min_rating is not None and mark is not None and mark < min_rating:
                        continue
                    yield Feedback(
                        user=self._pseudonyms.user(user_id),
                        caption=caption,
                        mark=mark,
                        rated_at=rated_at,
                        correction=correction,
                        corrected_at=corrected_at,
                    )

    async def turns(self, *, since: datetime | None = None) -> AsyncIterator[Conversation]:
        """Every turn in the order in which they were answered, read bit by bit; ``since``: not older."""
        last = 0
        while True:
            statement = (
                select(TurnRow, CaptionRow.text, CaptionRow.words, Picture.path, Picture.sha256)
                .join(CaptionRow, CaptionRow.id == TurnRow.caption_id)
                .join(Picture, Picture.id == CaptionRow.picture_id)
                .where(TurnRow.id > last)
                .order_by(TurnRow.id)
                .limit(_CAPTIONS)
            )
            if since is not None:
                statement = statement.where(TurnRow.created_at >= since)
            async with self._sessions.reading() as session:
                page = (await session.execute(statement)).all()
            if not page:
                return
            last = page[-1][0].id
            for turn, caption, words, path, sha256 in page:
                yield Conversation(self._pseudonyms.user(turn.user_id), turn, caption, words, path, sha256)


async def _models(session: AsyncSession) -> tuple[ModelStats, ...]:
    """What was said about every checkpoint, that with the most captions first."""
    marks = [getattr(Total, f"mark_{mark}") for mark in range(1, 6)]
    rated = case((sum(marks[1:], marks[0]) > 0, 1))
    said = (
        *map(func.sum, marks),
        func.count(rated),
        func.sum(Total.corrections),
        func.sum(Total.variants),
    )
    version = (ModelVersion.model, ModelVersion.checkpoint, ModelVersion.captions)
    rows = await session.execute(
        select(*version, *said)
        .outerjoin(Total, Total.version_id == ModelVersion.id)
        .where(ModelVersion.captions > 0)
        .group_by(*version)
        .order_by(ModelVersion.captions.desc(), ModelVersion.model, ModelVersion.checkpoint)
    )
    models = []
    for model, checkpoint, captions, *numbers in rows:
        *of_each, raters, corrections, variants = (number or 0 for number in numbers)
        given = {mark: count for mark, count in enumerate(of_each, 1) if count}
        models.append(ModelStats(model, checkpoint, captions, given, corrections, raters, variants))
    return tuple(models)


def _page(after: int, since: datetime | None) -> Select[*tuple[Any, ...]]:
    """The next captions of which somebody said something: the columns of Described."""
    caption, picture = CaptionRow, Picture
    rated = exists().where(Rating.caption_id == CaptionRow.id)
    corrected = exists().where(Correction.caption_id == CaptionRow.id)
    if since is not None:
        rated = rated.where(Rating.updated_at >= since)
        corrected = corrected.where(Correction.created_at >= since)
    return (
        select(
            *(caption.id, caption.model, caption.checkpoint, caption.options, caption.words, caption.text),
            *(caption.created_at, picture.path, picture.sha256),
        )
        .join(Picture, Picture.id == CaptionRow.picture_id)
        .where(CaptionRow.id > after, or_(rated, corrected))
        .order_by(CaptionRow.id)
        .limit(_CAPTIONS)
    )


async def _said(session: AsyncSession, first: int, last: int) -> dict[int, list[_Said]]:
    """What everybody said about the captions from one number to another, in the order of people's."""
    marks = select(Rating.caption_id, Rating.user_id, Rating.mark, Rating.updated_at)
    rated = await session.execute(marks.where(Rating.caption_id.between(first, last)))
    corrections = select(
        Correction.caption_id, Correction.user_id, Correction.text, Correction.created_at
    ).where(Correction.caption_id.between(first, last))
    # The newest of a person comes last, and counts.
    corrected = {
        (caption_id, user_id): (text, at)
        for caption_id, user_id, text, at in await session.execute(corrections.order_by(Correction.id))
    }
    said: dict[int, list[_Said]] = defaultdict(list)
    for caption_id, user_id, mark, at in rated:
        said[caption_id].append((user_id, mark, at, *corrected.pop((caption_id, user_id), (None, None))))
    for (caption_id, user_id), (text, at) in corrected.items():
        said[caption_id].append((user_id, None, None, text, at))
    for of_one in said.values():
        of_one.sort(key=itemgetter(0))
    return said
