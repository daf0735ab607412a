"""Forgetting a person: everything of theirs goes, from all tables."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Row, delete, exists, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from bot.feedback import database
from bot.feedback.database import NotStored
from bot.feedback.people import People
from bot.feedback.pictures import Pictures
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.sessions import Sessions, changed
from bot.feedback.tables import (
    CaptionRow,
    Correction,
    Job,
    Leaving,
    Picture,
    PostedUpdate,
    Rating,
    Sending,
    ShownMessage,
    Table,
    TurnRow,
    User,
)
from bot.feedback.tombstones import Tombstones

# What one transaction takes at most, so that nobody waits long for the next one.
_ROWS = 300
_PICTURES = 50
_COUNTED = ("ratings", "corrections", "turns", "jobs", "captions", "pictures")


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows, and files of kept pictures, an erasure removed."""

    ratings: int = 0
    corrections: int = 0
    turns: int = 0
    jobs: int = 0
    captions: int = 0
    pictures: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class _Person:
    """Who is to be erased."""

    user_id: int
    telegram_id: int
    sender: str  # the pseudonym


class _Portion:
    """One transaction's part of an erasure."""

    def __init__(self, session: AsyncSession, gone: Counter[str]) -> None:
        self.session = session
        self.gone = gone  # by the names of tables
        self._room = _ROWS

    async def delete(self, table: type[Table], condition: ColumnElement[bool]) -> bool:
        """Delete the rows of which this is so, as long as there is room; whether some may be left."""
        key = tuple_(*table.columns().primary_key)
        found = select(*table.columns().primary_key).where(condition).limit(self._room)
        deleted = await changed(self.session, delete(table).where(key.in_(found)))
        self._room -= deleted
        self.gone[table.__tablename__] += deleted
        return self._room == 0


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
        """Delete the person and everything of theirs: marks, corrections, what they asked for and were
        answered, and the pictures that they sent and nobody else did, with files, captions and what others
        said about those.

        Pictures of others that they asked about stay: those are their senders'. Of somebody who has much it
        takes several transactions, between which others write; the first one writes down that the rest must
        go, and :meth:`finish` goes on where a crash ended it. What the person does meanwhile goes too.
        Raises NotStored.
        """
        telegram_id = await self._people.telegram_id(user_id)
        person = _Person(user_id, telegram_id, self._pseudonyms.sender(telegram_id))
        gone = Counter[str]()
        files, left = 0, True
        while left:
            started = time.monotonic()
            async with self._pictures.lock:
                try:
                    async with self._sessions.transaction() as session:
                        await database.lock_pictures_exclusively(session)
                        left = await self._erase_portion(session, person, gone)
                except NotStored:
                    if not gone:
                        raise
                    break  # another process has finished it
                files += await self._pictures.empty_trash()
            if left:  # a process beside this one asks for the lock now and then, and is to find it free
                await asyncio.sleep(time.monotonic() - started)
        await self._sessions.truncate_journal()
        return Erased(files=files, **{name: gone[name] for name in _COUNTED})

    async def finish(self) -> None:
        """Go on with what a process that died had begun."""
        async with self._sessions.reading() as session:
            begun = (await session.scalars(select(Leaving.user_id))).all()
        for user_id in begun:
            try:
                await self.erase(user_id)
            except NotStored:
                continue

    async def _erase_portion(self, session: AsyncSession, person: _Person, gone: Counter[str]) -> bool:
        """Whether anything is left for another portion. Without that the person is gone too."""
        # First of all, so that whoever writes something of theirs comes before this or not at all.
        if await session.get(User, person.user_id, with_for_update=True) is None:
            raise NotStored("This person was erased.")
        sendings = await _sendings(session, person.sender)
        portion = _Portion(session, gone)
        left = (
            await portion.delete(Job, Job.sender == person.sender)
            or await portion.delete(Job, Job.user_id == person.user_id)
            or await self._erase_pictures(portion, person, sendings)
            or await portion.delete(Rating, Rating.user_id == person.user_id)
            or await portion.delete(Correction, Correction.user_id == person.user_id)
            or await portion.delete(TurnRow, TurnRow.user_id == person.user_id)
            or await portion.delete(CaptionRow, CaptionRow.asker_id == person.user_id)
            or await portion.delete(ShownMessage, ShownMessage.user_id == person.user_id)
            or len(sendings) == _PICTURES
        )
        if left:
            begun = self._sessions.insert(Leaving).values(user_id=person.user_id)
            await session.execute(begun.on_conflict_do_nothing(index_elements=[Leaving.user_id]))
            return True
        posted = update(PostedUpdate).where(PostedUpdate.telegram_id == person.telegram_id)
        await changed(session, posted.values(body=None, telegram_id=None))
        # Not before: an export that was made meanwhile is an earlier one.
        await self._tombstones.bury(session, "user", [self._pseudonyms.user(person.user_id)])
        await changed(session, delete(User).where(User.id == person.user_id))
        return False

    async def _erase_pictures(
        self, portion: _Portion, person: _Person, sendings: Sequence[Row[int, bool]]
    ) -> bool:
        """What hangs on the pictures of these sendings, and they themselves; whether something is left."""
        session = portion.session
        theirs = [picture_id for picture_id, shared in sendings if not shared]
        locked = select(CaptionRow.id).where(CaptionRow.picture_id.in_(theirs)).with_for_update()
        captions = (await session.scalars(locked)).all()  # so that nobody says more about them
        for table in (Rating, Correction, TurnRow, ShownMessage):
            if await portion.delete(table, table.caption_id.in_(captions)):
                return True
        page = [picture_id for picture_id, _ in sendings]
        await self._pictures.unkeep(session, person.sender, Sending.picture_id.in_(page))
        await changed(session, delete(Picture).where(Picture.id.in_(theirs)))
        shared = [picture_id for picture_id, shared in sendings if shared]
        mine = Sending.sender == person.sender
        await changed(session, delete(Sending).where(mine, Sending.picture_id.in_(shared)))
        portion.gone.update(captions=len(captions), pictures=len(theirs))
        return False


async def _sendings(session: AsyncSession, sender: str) -> Sequence[Row[int, bool]]:
    """Pictures that this person sent, and whether somebody else sent them too: as many as a portion takes."""
    other = aliased(Sending)
    shared = exists().where(other.picture_id == Sending.picture_id, other.sender != Sending.sender)
    mine = select(Sending.picture_id, shared).where(Sending.sender == sender)
    return (await session.execute(mine.limit(_PICTURES))).all()
