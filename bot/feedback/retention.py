"""What is kept for so many days, and then goes by itself: pictures, and all that was said about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from sqlalchemy import and_, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback import database
from bot.feedback.pictures import Pictures
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.sessions import Sessions, changed
from bot.feedback.states import UNFINISHED
from bot.feedback.tables import CaptionRow, Correction, Job, Picture, Rating, TurnRow, now
from bot.feedback.tombstones import Tombstones

_PAGE = 100  # rows a transaction, between which others write


@dataclass(frozen=True, slots=True)
class Keep:
    """Days; 0: for ever."""

    pictures: int = 0  # the files of kept pictures, since they are kept
    # Descriptions, with the marks, corrections and answers that hang on them; requests; and fingerprints of
    # pictures of which nothing else is left. Since they were made.
    texts: int = 0


FOR_EVER = Keep()

_Dated = type[CaptionRow] | type[Job] | type[Picture]


class Retention:
    """Removes what is too old. Earlier exports must be cleaned of it, as of what was erased."""

    def __init__(
        self, sessions: Sessions, pictures: Pictures, pseudonyms: Pseudonyms, tombstones: Tombstones
    ) -> None:
        self._sessions = sessions
        self._pictures = pictures
        self._pseudonyms = pseudonyms
        self._tombstones = tombstones

    async def sweep(self, keep: Keep) -> int:
        """Remove all that is too old now, bit by bit; returns how many rows and files that was."""
        removed = 0
        if keep.pictures:
            removed += await self._drop_files(now() - timedelta(days=keep.pictures))
        if keep.texts:
            before = now() - timedelta(days=keep.texts)
            removed += await self._walk(CaptionRow, before, self._drop_captions)
            removed += await self._walk(Job, before, self._drop_jobs)
            removed += await self._walk(Picture, before, self._drop_pictures)
        if removed:
            await self._sessions.truncate_journal()
        return removed

    async def _drop_files(self, before: datetime) -> int:
        removed = 0
        while True:
            started = time.monotonic()
            gone = await self._pictures.drop_kept(before, _PAGE)
            removed += gone
            if gone < _PAGE:
                return removed
            await asyncio.sleep(time.monotonic() - started)

    async def _walk(
        self,
        table: _Dated,
        before: datetime,
        drop: Callable[[AsyncSession, Sequence[int]], Awaitable[int]],
    ) -> int:
        """Drop the rows that are older, the oldest first: their numbers say which those are, without an index
        on moments.
        """
        removed, after = 0, 0
        while True:
            started = time.monotonic()
            page = select(table.id, table.created_at).where(table.id > after).order_by(table.id).limit(_PAGE)
            async with self._sessions.reading() as session:
                rows = (await session.execute(page)).all()
            old = [number for number, _ in takewhile(lambda row: row[1] < before, rows)]
            if old:
                async with self._sessions.transaction() as session:
                    removed += await drop(session, old)
            if len(old) < _PAGE:
                return removed
            after = old[-1]
            await asyncio.sleep(time.monotonic() - started)  # for whoever else wants to write

    async def _drop_captions(self, session: AsyncSession, numbers: Sequence[int]) -> int:
        """The foreign keys take with them what hangs on them. One on its way to a chat goes another time."""
        old = and_(
            CaptionRow.id.in_(numbers),
            ~exists()
            .where(
                or_(Job.caption_id == CaptionRow.id, Job.about_caption_id == CaptionRow.id),
                Job.state.in_(UNFINISHED),
            )
            .correlate(CaptionRow),
        )
        exported = or_(
            exists().where(Rating.caption_id == CaptionRow.id).correlate(CaptionRow),
            exists().where(Correction.caption_id == CaptionRow.id).correlate(CaptionRow),
            exists().where(TurnRow.caption_id == CaptionRow.id).correlate(CaptionRow),
        )
        said = select(Picture.sha256).join(CaptionRow, CaptionRow.picture_id == Picture.id)
        digests = set(await session.scalars(said.where(old, exported)))
        await self._tombstones.bury(session, "picture", {self._pseudonyms.picture(one) for one in digests})
        return await changed(session, delete(CaptionRow).where(old))

    async def _drop_jobs(self, session: AsyncSession, numbers: Sequence[int]) -> int:
        return await changed(session, delete(Job).where(Job.id.in_(numbers), Job.state.not_in(UNFINISHED)))

    async def _drop_pictures(self, session: AsyncSession, numbers: Sequence[int]) -> int:
        """Those of which no bytes and no captions are left."""
        await database.lock_pictures_exclusively(session)
        said = exists().where(CaptionRow.picture_id == Picture.id).correlate(Picture)
        return await changed(
            session, delete(Picture).where(Picture.id.in_(numbers), Picture.path.is_(None), ~said)
        )
