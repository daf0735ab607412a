"""Pictures, their senders, and the bytes that are kept on disk with their senders' consent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback import database, files
from bot.feedback.prepared import Asked
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.sessions import Sessions, changed, made
from bot.feedback.tables import Job, Picture, Removal, Sending, now
from bot.feedback.tombstones import Tombstones

_log = logging.getLogger(__name__)


_PICTURES = Picture.columns()
PICTURE = select(_PICTURES).where(_PICTURES.c.id == bindparam("picture"))
_KEEP = (
    update(_PICTURES)
    .where(_PICTURES.c.id == bindparam("picture"))
    .values(path=bindparam("place"), kept_at=bindparam("moment"))
)
_NOT_KEPT = {"path": None, "kept_at": None}


@dataclass(frozen=True, slots=True)
class PictureFields:
    """A picture as it was downloaded. ``data`` is kept on disk only if its sender has consented."""

    file_unique_id: str
    sha256: str  # of the file, 64 hexadecimal digits
    size: int  # bytes
    width: int  # pixels, upright
    height: int
    data: bytes | None = None


class Keep(Protocol):
    """Keeps what may be kept of the picture of a job, as part of a transaction."""

    def __call__(self, connection: Asked, job: Row[Any], picture: Row[Any]) -> None: ...


class Pictures:
    """The rows, and the folder of kept bytes: files and the rows about them change together."""

    def __init__(
        self, sessions: Sessions, folder: files.PictureFolder, pseudonyms: Pseudonyms, tombstones: Tombstones
    ) -> None:
        self._sessions = sessions
        self._folder = folder
        self._pseudonyms = pseudonyms
        self._tombstones = tombstones
        insert = sessions.insert(Picture)
        self._upsert = insert.on_conflict_do_update(  # since "do nothing" would not return the row
            index_elements=("file_unique_id",), set_={"sha256": insert.excluded.sha256}
        ).returning(Picture.columns())
        send = sessions.insert(Sending)
        # Who has sent it before and let it be kept has not taken that back by sending it again.
        keeps = or_(Sending.columns().c.keeps, send.excluded.keeps)
        self._send = send.on_conflict_do_update(
            index_elements=("picture_id", "sender"), set_={"keeps": keeps}
        )

    @property
    def lock(self) -> asyncio.Lock:
        """Held from the transaction that decides about files until the files are written or removed."""
        return self._folder.lock

    async def get(self, picture_id: int) -> Picture | None:
        """The picture of this number (:attr:`CaptionRow.picture_id`); None: erased."""
        return made(Picture, await self._sessions.read(PICTURE, {"picture": picture_id}))

    def file(self, path: str) -> Path:
        """Where the kept bytes of a :attr:`Picture.path` are."""
        return self._folder.at(path)

    async def has_sent(self, telegram_id: int) -> bool:
        """Whether a picture of this person is known, although they may never have written to the bot."""
        whose = self._pseudonyms.sender(telegram_id)
        async with self._sessions.reading() as session:
            found = select(Sending.sender).where(Sending.sender == whose)
            waiting = select(Job.sender).where(Job.sender == whose)
            return await session.scalar(found.union(waiting).limit(1)) is not None

    def add(self, connection: Asked, picture: PictureFields) -> Row[Any]:
        """The row of a picture, made where Telegram's file is a new one."""
        values = {
            "file_unique_id": picture.file_unique_id,
            "sha256": picture.sha256,
            "size": picture.size,
            "width": picture.width,
            "height": picture.height,
            "created_at": now(),
        }
        return connection.execute(self._upsert, values).one()

    @asynccontextmanager
    async def keeping(self, data: bytes | None) -> AsyncIterator[Keep]:
        """Around a transaction: what it decides to keep is written to disk after its commit.

        In this order a crash leaves a row without its file, which an export reports, and never a file
        without its row, which nobody would erase.
        """
        path: str | None = None

        def keep(connection: Asked, job: Row[Any], picture: Row[Any]) -> None:
            nonlocal path
            if job.keeps_picture and data is not None and picture.path is None:
                path = files.place(picture.sha256, data)
                connection.execute(_KEEP, {"picture": picture.id, "place": path, "moment": now()})
            keeps = job.keeps_picture and (path or picture.path) is not None
            sent = {"picture_id": picture.id, "sender": job.sender, "keeps": keeps}
            connection.execute(self._send, sent)

        async with nullcontext() if data is None else self.lock:
            yield keep
            if path is not None and data is not None:
                await self._write(path, data)

    async def _write(self, path: str, data: bytes) -> None:
        try:
            await self._folder.write(path, data)
        except OSError as error:  # a full disk must not cost anybody the answer
            _log.warning("A picture could not be kept (%s); check the space and rights of DATA_DIR.", error)
            async with self._sessions.transaction() as session:
                await session.execute(update(Picture).where(Picture.path == path).values(_NOT_KEPT))
            return
        async with self._sessions.reading() as session:
            used = await session.scalar(select(Picture.id).where(Picture.path == path).limit(1))
        if used is None:  # another process erased it between our commit and our write
            await self._folder.remove([path])

    async def unkeep(self, session: AsyncSession, whose: str, *only: ColumnElement[bool]) -> None:
        """Mark for removal the kept pictures of this sender that nobody else lets us keep; ``only``: those of
        whose Sending this is so.

        Call it under ``lock``, in a transaction that has locked the pictures exclusively
        (database.lock_pictures_exclusively), and then :meth:`empty_trash`.
        """
        mine = (Sending.sender == whose, *only)
        await changed(session, update(Sending).where(*mine, Sending.keeps.is_(True)).values(keeps=False))
        unkept = and_(
            Picture.id.in_(select(Sending.picture_id).where(*mine)),
            Picture.path.is_not(None),
            ~exists().where(Sending.picture_id == Picture.id, Sending.keeps.is_(True)).correlate(Picture),
        )
        await self._discard(session, unkept)

    async def let_go(self, names: Collection[str]) -> int:
        """Remove the kept pictures that an export calls so, whoever lets them be kept; how many those are."""
        async with self.lock:
            async with self._sessions.transaction() as session:
                await database.lock_pictures_exclusively(session)
                kept = await session.scalars(
                    select(Picture.sha256).where(Picture.path.is_not(None)).distinct()
                )
                gone = [sha256 for sha256 in kept if self._pseudonyms.picture(sha256) in names]
                for sha256 in gone:
                    theirs = Sending.picture_id.in_(select(Picture.id).where(Picture.sha256 == sha256))
                    await changed(session, update(Sending).where(theirs).values(keeps=False))
                    await self._discard(session, and_(Picture.sha256 == sha256, Picture.path.is_not(None)))
            await self.empty_trash()
        return len(gone)

    async def drop_kept(self, before: datetime, at_most: int) -> int:
        """Remove files that are kept since before then, the oldest first; of how many pictures that was."""
        oldest = select(Picture.id).where(Picture.kept_at < before).order_by(Picture.kept_at).limit(at_most)
        async with self.lock:
            async with self._sessions.transaction() as session:
                await database.lock_pictures_exclusively(session)
                numbers = (await session.scalars(oldest)).all()
                await self._discard(session, Picture.id.in_(numbers))
            await self.empty_trash()
        return len(numbers)

    async def _discard(self, session: AsyncSession, unkept: ColumnElement[bool]) -> None:
        """Mark for removal the kept pictures of these rows."""
        found = (await session.execute(select(Picture.path, Picture.sha256).where(unkept))).all()
        if not found:
            return
        await changed(session, update(Picture).where(unkept).values(_NOT_KEPT))
        pseudonyms = {self._pseudonyms.picture(sha256) for _, sha256 in found}
        await self._tombstones.bury(session, "picture", pseudonyms)
        insert = self._sessions.insert(Removal).on_conflict_do_nothing(index_elements=[Removal.path])
        await session.execute(insert, [{"path": path} for path in {path for path, _ in found}])

    async def remove_strays(self) -> int:
        """Delete the kept files that no row names, while no bot is at work; how many there were."""
        async with self._sessions.reading() as session:
            named = set(await session.scalars(select(Picture.path).where(Picture.path.is_not(None))))
        return await self._folder.remove(set(await self._folder.all()) - named)

    async def empty_trash(self) -> int:
        """Remove the files marked for removal, also by a run that was killed; returns how many there were."""
        async with self._sessions.reading() as session:
            marked = set(await session.scalars(select(Removal.path)))
            again = exists().where(Picture.path == Removal.path)
            used = set(await session.scalars(select(Removal.path).where(again)))
        if not marked:
            return 0
        try:
            removed = await self._folder.remove(marked - used)
        except OSError as error:
            _log.error(
                "A file of an erased picture cannot be deleted (%s); check the rights of DATA_DIR. "
                "The next start tries again.",
                error,
            )
            return 0
        async with self._sessions.transaction() as session:
            for path in marked:
                await session.execute(delete(Removal).where(Removal.path == path))
        return removed
