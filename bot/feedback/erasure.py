"""Forgetting a person: everything of theirs goes, in one transaction over all tables."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback import database
from bot.feedback.database import NotStored
from bot.feedback.people import People
from bot.feedback.pictures import Pictures, sent
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.reports import count_rows
from bot.feedback.sessions import Sessions, changed
from bot.feedback.tables import CaptionRow, Correction, Job, Picture, PostedUpdate, Rating, Sending, User
from bot.feedback.tombstones import Tombstones


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows, and files of kept pictures, an erasure removed."""

    ratings: int = 0
    corrections: int = 0
    jobs: int = 0
    captions: int = 0
    pictures: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class _Property:
    """What goes with a person, as conditions."""

    user_id: int
    sender: str  # the pseudonym

    @property
    def pictures(self) -> ColumnElement[bool]:
        """Of a Picture: this person sent it, and nobody else did."""
        return and_(sent(Sending.sender == self.sender), ~sent(Sending.sender != self.sender))

    @property
    def captions(self) -> Select[int]:
        """The numbers of the captions of these pictures."""
        return select(CaptionRow.id).join(Picture, Picture.id == CaptionRow.picture_id).where(self.pictures)

    @property
    def jobs(self) -> ColumnElement[bool]:
        """Of a Job: they asked for it, or sent its picture."""
        return or_(Job.user_id == self.user_id, Job.sender == self.sender)


class Erasure:
    """Erases people."""

    def __init__(
        self,
        sessions: Sessions,
        people: People,
        pictures: Pictures,
        pseudonyms: Pseudonyms,
        tombstones: Tombstones,
    ) -> None:
        self._sessions = sessions
        self._people = people
        self._pictures = pictures
        self._pseudonyms = pseudonyms
        self._tombstones = tombstones

    async def erase(self, user_id: int) -> Erased:
        """Delete the person and everything of theirs: marks, corrections, what they asked for, and the
        pictures that they sent and nobody else did, with files, captions and what others said about those.

        Pictures of others that they asked about stay: those are their senders'. Raises NotStored.
        """
        sender = self._pseudonyms.sender(await self._people.telegram_id(user_id))
        theirs = _Property(user_id, sender)
        async with self._pictures.lock:
            async with self._sessions.transaction() as session:
                await database.lock_pictures(session, exclusive=True)
                counts = await _count(session, theirs)
                await self._pictures.forget(session, sender)
                await self._tombstones.bury(session, "user", self._pseudonyms.user(user_id))
                await _delete(session, theirs)
            removed = await self._pictures.empty_trash()
        await self._sessions.truncate_journal()
        return Erased(files=removed, **counts)


async def _count(session: AsyncSession, theirs: _Property) -> dict[str, int]:
    captions = theirs.captions
    ratings = or_(Rating.user_id == theirs.user_id, Rating.caption_id.in_(captions))
    corrections = or_(Correction.user_id == theirs.user_id, Correction.caption_id.in_(captions))
    return {
        "ratings": await count_rows(session, Rating, ratings),
        "corrections": await count_rows(session, Correction, corrections),
        "jobs": await count_rows(session, Job, theirs.jobs),
        "captions": await count_rows(session, CaptionRow, CaptionRow.id.in_(captions)),
        "pictures": await count_rows(session, Picture, theirs.pictures),
    }


async def _delete(session: AsyncSession, theirs: _Property) -> None:
    """The foreign keys take with these rows what hangs on them."""
    telegram_id = select(User.telegram_id).where(User.id == theirs.user_id).scalar_subquery()
    posted = update(PostedUpdate).where(PostedUpdate.telegram_id == telegram_id)
    await changed(session, posted.values(body=None, telegram_id=None))
    await changed(session, delete(Picture).where(theirs.pictures))
    await changed(session, delete(Sending).where(Sending.sender == theirs.sender))
    await changed(session, delete(Job).where(Job.sender == theirs.sender))
    if not await changed(session, delete(User).where(User.id == theirs.user_id)):
        raise NotStored("This person was erased.")
