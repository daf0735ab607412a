"""What the bot remembers. Every method is one short transaction, safe to call from many tasks at once.

All raise StoreError when the database cannot be used just then: a full disk, a lock, a server that is away.
``user_id`` is always :attr:`User.id`, never Telegram's number. Moments are timezone-aware and in UTC.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets as randomness
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, Self, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Delete,
    Update,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from bot.feedback import database, files, private, reports
from bot.feedback.database import StoreError
from bot.feedback.reports import Feedback, Stats
from bot.feedback.tables import (
    CaptionRow,
    Choice,
    Correction,
    Job,
    JobKind,
    Picture,
    Place,
    PostedUpdate,
    Rating,
    Removal,
    Secret,
    Sending,
    Shown,
    ShownMessage,
    Table,
    Tombstone,
    TombstoneKind,
    User,
    now,
)
from bot.senders import is_person
from inference.common.locks import Locked, locked
from inference.common.types import Caption, DecodingOptions, Version

_log = logging.getLogger(__name__)

_EXPORT = "export"  # the folder in DATA_DIR where an archive is made
DEFAULT_OPTIONS_KEY = "default"  # of a job that leaves the options to the model


class NotStored(LookupError):  # noqa: N818 - a state, not a fault: somebody erased it in the meantime
    """The person, job or caption was erased. Stop, and say so if anybody waits."""


@dataclass(frozen=True, slots=True)
class PictureFields:
    """A picture as it was downloaded. ``data`` is kept on disk only if its sender has consented."""

    file_unique_id: str
    sha256: str  # of the file, 64 hexadecimal digits
    size: int  # bytes
    width: int  # pixels, upright
    height: int
    data: bytes | None = None


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
class MessageKey:
    """Where a message of the bot stands, as Telegram itself names it with every press and answer."""

    chat_id: int | None = None
    message_id: int | None = None
    inline_message_id: str | None = None  # instead of the two others

    @classmethod
    def of(cls, chat_id: int, message_id: int) -> Self:
        """A message in a chat."""
        return cls(chat_id, message_id)


def options_key(options: DecodingOptions | None) -> str:
    """The part of the caches' and the jobs' keys that stands for ``options``."""
    return DEFAULT_OPTIONS_KEY if options is None else options.key()


class Store:
    """SQLite or PostgreSQL, and the folder of kept pictures. Made by :meth:`open`."""

    def __init__(self, engine: AsyncEngine, data_dir: Path) -> None:
        self._engine = engine
        self._writer = engine.execution_options(sqlite_begin="IMMEDIATE")
        # SQLite has one writer at a time: waiting here is fair and costs nothing, its own waiting polls.
        self._one_writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None
        self._files = files.Pictures(data_dir)
        self._secret = b""
        self._signing_secret = b""

    @classmethod
    async def open(cls, url: str, data_dir: Path) -> Self:
        """Connect to DATABASE_URL and bring its tables up to date; creates what is missing.

        Raises StoreError, whose text says what to do, when that cannot be done.
        """
        address = database.database_url(url)
        try:
            await asyncio.to_thread(_make_folders, address, data_dir)
            await database.migrate(address)
            store = cls(database.create_engine(address), data_dir)
            try:
                store._secret = await store._make_secret("pseudonyms")
                store._signing_secret = await store._make_secret("buttons")
                await store._empty_trash()
            except BaseException:
                await store.close()
                raise
        except (DBAPIError, OSError, sqlite3.Error) as error:
            raise StoreError(
                f"The database {address.render_as_string(hide_password=True)} cannot be opened "
                f"({_reason(error)}); "
                "check DATABASE_URL and DATA_DIR, that the server runs and that both may be written to."
            ) from error
        return store

    async def close(self) -> None:
        """Give the connections back. The store cannot be used afterwards."""
        await self._engine.dispose()

    def one_bot(self) -> AbstractAsyncContextManager[None]:
        """See database.one_bot."""
        return database.one_bot(self._engine)

    @asynccontextmanager
    async def one_export(self) -> AsyncIterator[Path]:
        """An empty folder for an archive, which is deleted at the end, as is what a killed bot left there.

        Raises Locked while any bot of this database is at it.
        """
        folder = self._files.data_dir / _EXPORT
        with locked(self._files.data_dir):
            async with database.one_export(self._engine):
                try:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                    await asyncio.to_thread(private.make_folder, folder)
                    yield folder
                finally:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def clear_export(self) -> None:
        """Delete what a bot that was killed left of an archive."""
        with suppress(Locked, OSError):
            async with self.one_export():
                pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- people ----

    async def user(self, telegram_id: int, *, language: str, username: str | None = None) -> User:
        """The person of this Telegram number, made at the first meeting; who writes is active again.

        ``language`` (Telegram's) counts until the person chooses one with :meth:`set_language`.
        """
        async with self._read() as session:
            known = await session.scalar(select(User).where(User.telegram_id == telegram_id))
        if (
            known is not None
            and known.active
            and known.username == username
            and (known.language_chosen or known.language == language)
        ):
            return known  # the usual case needs no write
        insert = self._insert(User).values(
            telegram_id=telegram_id,
            username=username,
            language=language,
            language_chosen=False,
            consent=False,
            active=True,
            created_at=now(),
        )
        statement = insert.on_conflict_do_update(
            index_elements=[User.telegram_id],
            set_={
                "username": insert.excluded.username,
                "language": case((User.language_chosen, User.language), else_=insert.excluded.language),
                "active": True,
            },
        ).returning(User)
        async with self._write() as session:
            user: User = (await session.scalars(statement)).one()
            return user

    async def find_user(self, telegram_id: int) -> User | None:
        """The person of this Telegram number; None: never met, or erased."""
        async with self._read() as session:
            return await session.scalar(select(User).where(User.telegram_id == telegram_id))

    async def telegram_id(self, user_id: int) -> int:
        """The number of the person's private chat. Raises NotStored."""
        async with self._read() as session:
            found = await session.scalar(select(User.telegram_id).where(User.id == user_id))
        if found is None:
            raise NotStored("This person was erased.")
        return found

    async def set_language(self, user_id: int, language: str) -> None:
        """The language the person chose. Raises NotStored."""
        await self._set(User, user_id, language=language, language_chosen=True)

    async def choose_model(self, user_id: int, model: str | None) -> None:
        """The model that the person chose; None: whatever the operator serves. Raises NotStored."""
        await self._set(User, user_id, model=model)

    async def compare_with(self, user_id: int, model: str | None) -> None:
        """Answer with two captions: see :attr:`User.compare_with`. Raises NotStored."""
        await self._set(User, user_id, compare_with=model)

    async def set_consent(self, user_id: int, consent: bool) -> None:
        """May pictures sent from now on be kept? Withdrawing also deletes what was kept. Raises NotStored."""
        if consent:
            await self._set(User, user_id, consent=True)
            return
        async with self._files.lock:
            async with self._write() as session:
                await database.lock_pictures(session, exclusive=True)
                user = await session.get(User, user_id, with_for_update=True)
                if user is None:
                    raise NotStored("This person was erased.")
                user.consent = False
                await session.flush()
                await self._forget_files(session, self.sender(user.telegram_id))
            await self._empty_trash()

    async def deactivate(self, telegram_id: int) -> None:
        """The person, if known, blocked the bot. Their next message makes them active again."""
        async with self._write() as session:
            await session.execute(update(User).where(User.telegram_id == telegram_id).values(active=False))

    # ---- jobs ----

    async def accept(
        self,
        *,
        user_id: int,
        place: Place,
        message_id: int,
        file_id: str,
        file_unique_id: str,
        language: str,
        kind: JobKind = "caption",
        options: DecodingOptions | None = None,
        source_caption_id: int | None = None,
        choices: Sequence[Choice] = (Choice(),),
        again: bool = False,
        sender: int | Literal["asker"] | Job | None = "asker",
    ) -> list[tuple[Job, bool]]:
        """Write down that this picture must be answered, before anything slow: a job for every choice.

        ``sender``: whose picture it is, by Telegram id; None: nobody's who could let it be kept. A job: the
        one by which the picture came (now nothing new is sent).

        True beside a job: it is new. The same picture of the same message, kind and options give the same
        jobs, whatever their state and model, so a redelivered update makes no further one. ``again``: the
        person asks for it; then only a job of the same choice is the same. ``options`` None: the model's own.
        Raises NotStored when the person or the source caption was erased.
        """
        moment = now()
        key = options_key(options)
        same = and_(
            Job.chat_id == place.chat_id,
            Job.message_id == message_id,
            Job.kind == kind,
            Job.options_key == key,
            Job.file_unique_id == file_unique_id,
        )
        common = (
            self._insert(Job)
            .values(
                user_id=user_id,
                chat_id=place.chat_id,
                message_thread_id=place.thread_id,
                business_connection_id=place.business_connection_id,
                direct_messages_topic_id=place.direct_messages_topic_id,
                message_id=message_id,
                kind=kind,
                file_id=file_id,
                file_unique_id=file_unique_id,
                options=None if options is None else options.to_dict(),
                options_key=key,
                source_caption_id=source_caption_id,
                language=language,
                state="accepted",
                attempts=0,
                created_at=moment,
                updated_at=moment,
            )
            .on_conflict_do_nothing(
                index_elements=[
                    Job.chat_id,
                    Job.message_id,
                    Job.kind,
                    Job.options_key,
                    Job.model,
                    Job.part,
                    Job.file_unique_id,
                ],
            )
            .returning(Job)
        )
        jobs: list[tuple[Job, bool]] = []
        async with self._write() as session:
            if not again:
                known = (await session.scalars(select(Job).where(same).order_by(Job.id))).all()
                if known:
                    return [(job, False) for job in known]
            whose, keeps = await self._sender(session, user_id, sender)
            for choice in choices:
                insert = common.values(
                    model=choice.model,
                    part=choice.part,
                    compared_with=choice.compared_with,
                    sender=whose,
                    keeps_picture=keeps,
                )
                created: Job | None = (await session.scalars(insert)).one_or_none()
                existing = await session.scalars(
                    select(Job).where(same, Job.model == choice.model, Job.part == choice.part)
                )
                jobs.append((created or existing.one(), created is not None))
        return jobs

    async def _sender(
        self, session: AsyncSession, user_id: int, sender: int | Literal["asker"] | Job | None
    ) -> tuple[str, bool]:
        """The pseudonym of whose picture it is, and whether they let it be kept."""
        if isinstance(sender, Job):
            return sender.sender, False
        if sender is None:
            return "", False
        same = User.id == user_id if sender == "asker" else User.telegram_id == sender
        # Locked: whoever takes the permission back meanwhile waits, and then finds this job too.
        found = (
            await session.execute(
                select(User.telegram_id, User.consent).where(same).with_for_update(read=True)
            )
        ).one_or_none()
        if found is None:  # never met, or erased
            return ("" if sender == "asker" else self.sender(sender)), False
        # A chat in whose name somebody asks has sent nothing.
        return (
            (self.sender(found.telegram_id), found.consent) if is_person(found.telegram_id) else ("", False)
        )

    async def has_sent(self, telegram_id: int) -> bool:
        """Whether a picture of this person is known, although they may never have written to the bot."""
        whose = self.sender(telegram_id)
        async with self._read() as session:
            found = select(Sending.sender).where(Sending.sender == whose)
            waiting = select(Job.sender).where(Job.sender == whose)
            return await session.scalar(found.union(waiting).limit(1)) is not None

    async def claim(self, job_id: int, *, resume: bool = False) -> Job | None:
        """Begin to work on an accepted job; None when somebody else did, or it is finished or erased.

        ``resume``: also take a job left in work by a process that died (:meth:`pending_jobs` at start).
        :attr:`Job.attempts` counts the claims, so that a picture that kills the bot can be given up.
        """
        states = ("accepted", "working") if resume else ("accepted",)
        statement = (
            update(Job)
            .where(Job.id == job_id, Job.state.in_(states))
            .values(state="working", attempts=Job.attempts + 1, updated_at=now())
            .returning(Job)
        )
        async with self._write() as session:
            return (await session.scalars(statement)).one_or_none()

    async def retry(self, job_id: int) -> bool:
        """Put a failed job back to accepted; False when it is not a failed one."""
        async with self._write() as session:
            return await _changed(
                session,
                update(Job)
                .where(Job.id == job_id, Job.state == "failed")
                .values(state="accepted", reason=None, sending_at=None, updated_at=now()),
            )

    async def job(self, job_id: int) -> Job | None:
        """The job of this number; None: erased."""
        async with self._read() as session:
            return await session.get(Job, job_id)

    async def pending_jobs(self) -> list[Job]:
        """What was accepted and not finished, oldest first. At start, claim each with ``resume=True``.

        A job with ``caption_id`` has its caption already; one with ``sending_at`` died while replying.
        """
        async with self._read() as session:
            rows = await session.scalars(
                select(Job).where(Job.state.in_(("accepted", "working"))).order_by(Job.id)
            )
            return list(rows)

    async def hold_jobs(self, job_ids: Iterable[int]) -> None:
        """Say that this process works on these jobs."""
        await self._hold(Job.id, job_ids, Job.updated_at)

    async def take_over(self, before: datetime) -> list[Job]:
        """The unfinished jobs that nobody held since ``before``, the oldest first; now they are held."""
        statement = (
            update(Job)
            .where(Job.state.in_(("accepted", "working")), Job.updated_at < before)
            .values(updated_at=now())
            .returning(Job)
        )
        async with self._write() as session:
            return sorted(await session.scalars(statement), key=lambda job: job.id)

    async def noticed(self, job_id: int, message_id: int | None) -> None:
        """This message tells the job's place in the queue; None: it is gone. Raises NotStored."""
        await self._set(Job, job_id, notice_message_id=message_id)

    async def mark_reply_sending(self, job_id: int) -> None:
        """The reply is about to go out. Raises NotStored."""
        await self._set(Job, job_id, sending_at=now(), updated_at=now())

    async def reply_not_sent(self, job_id: int) -> None:
        """Take :meth:`mark_reply_sending` back: the reply certainly did not go out. Raises NotStored."""
        await self._set(Job, job_id, sending_at=None, updated_at=now())

    async def answered(self, job_id: int, reply_message_id: int) -> None:
        """The reply is in the chat, in this message. Raises NotStored."""
        await self._set(
            Job, job_id, state="answered", reply_message_id=reply_message_id, reason=None, updated_at=now()
        )

    async def failed(self, job_id: int, reason: str) -> None:
        """No caption will come; ``reason`` is for the operator. Raises NotStored."""
        await self._set(Job, job_id, state="failed", reason=reason, updated_at=now())

    async def other_part(self, job: Job) -> Job | None:
        """The job whose caption is compared with this one's."""
        async with self._read() as session:
            return await session.scalar(
                select(Job)
                .where(
                    Job.chat_id == job.chat_id,
                    Job.message_id == job.message_id,
                    Job.kind == job.kind,
                    Job.options_key == job.options_key,
                    Job.file_unique_id == job.file_unique_id,
                    Job.model == job.compared_with,
                    Job.part == 3 - job.part,
                )
                .limit(1)
            )

    async def job_of_caption(self, caption_id: int, chat_id: int, reply_message_id: int) -> Job | None:
        """The job that was answered with this caption by this message, or else any, in this chat if there is
        one; None: erased.
        """
        async with self._read() as session:
            return await session.scalar(
                select(Job)
                .where(Job.caption_id == caption_id)
                .order_by(
                    (Job.chat_id == chat_id).desc(),
                    func.coalesce(Job.reply_message_id == reply_message_id, False).desc(),
                    Job.id.desc(),
                )
                .limit(1)
            )

    # ---- captions ----

    async def cached_caption(
        self, file_unique_id: str, model: str, version: Version, options_key: str
    ) -> CaptionRow | None:
        """The newest caption of this picture by this model and version with these options
        (:attr:`Job.options_key`).

        Give it to the job with :meth:`use_caption`.
        """
        async with self._read() as session:
            return await session.scalar(
                select(CaptionRow)
                .join(Picture, Picture.id == CaptionRow.picture_id)
                .where(
                    Picture.file_unique_id == file_unique_id,
                    CaptionRow.model == model,
                    CaptionRow.checkpoint == version.checkpoint,
                    CaptionRow.program == version.program,
                    CaptionRow.options_key == options_key,
                )
                .order_by(CaptionRow.id.desc())
                .limit(1)
            )

    async def save_caption(self, job_id: int, *, picture: PictureFields, caption: Caption) -> CaptionRow:
        """Keep what the model said for this job, and the picture's bytes if its sender has consented.

        Raises NotStored when the person was erased in the meantime: nothing is kept then.
        """
        moment = now()
        insert = self._insert(Picture).values(
            file_unique_id=picture.file_unique_id,
            sha256=picture.sha256,
            size=picture.size,
            width=picture.width,
            height=picture.height,
            created_at=moment,
        )
        upsert = insert.on_conflict_do_update(  # an update, since "do nothing" would not return the row
            index_elements=[Picture.file_unique_id], set_={"sha256": insert.excluded.sha256}
        ).returning(Picture)
        async with self._keeping(picture.data) as keep, self._write() as session:
            await database.lock_pictures(session)
            job = await session.get(Job, job_id)
            if job is None:
                raise NotStored("This job was erased.")
            row = CaptionRow(
                picture_id=(await keep(session, job, (await session.scalars(upsert)).one())).id,
                model=caption.model,
                checkpoint=caption.checkpoint,
                program=caption.program,
                options=caption.options.to_dict(),
                options_key=job.options_key,
                summary=caption.summary,
                text=caption.text,
                words=list(caption.words),
                seconds=dict(caption.seconds),
                confidence=caption.confidence,
                notes=list(caption.notes),
                created_at=moment,
            )
            session.add(row)
            await session.flush()
            job.caption_id, job.updated_at = row.id, moment
        return row

    async def use_caption(self, job_id: int, caption_id: int, *, data: bytes | None = None) -> None:
        """Answer this job with a caption made before. Raises NotStored when either was erased.

        ``data``: the picture's bytes, if they are at hand; kept under the same conditions as a new picture's.
        """
        async with self._keeping(data) as keep, self._write() as session:
            await database.lock_pictures(session)
            job = await session.get(Job, job_id)
            row = await session.get(CaptionRow, caption_id)
            if job is None or row is None:
                raise NotStored("This job or caption was erased.")
            await keep(session, job, await session.get_one(Picture, row.picture_id))
            job.caption_id, job.updated_at = row.id, now()

    async def caption(self, caption_id: int) -> CaptionRow | None:
        """The caption of this number; None: erased."""
        async with self._read() as session:
            return await session.get(CaptionRow, caption_id)

    async def picture(self, picture_id: int) -> Picture | None:
        """The picture of this number (:attr:`CaptionRow.picture_id`); None: erased."""
        async with self._read() as session:
            return await session.get(Picture, picture_id)

    # ---- what the bot's messages show ----

    def signature(self, text: str) -> str:
        """16 letters, digits, "-" and "_" that nobody without this database can find for ``text``."""
        digest = hmac.new(self._signing_secret, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:12]).decode()

    async def show(self, place: MessageKey, shown: Shown) -> ShownMessage:
        """This message of the bot shows that; one in a private chat is its person's.

        Raises NotStored when the caption, the job or the person was erased.
        """
        async with self._write() as session:
            user_id = shown.user_id
            if user_id is None and place.chat_id is not None and place.chat_id > 0:
                user_id = await session.scalar(select(User.id).where(User.telegram_id == place.chat_id))
                if user_id is None:
                    raise NotStored("This person was erased.")
            values = {
                "kind": shown.kind,
                "caption_id": shown.caption_id,
                "job_id": shown.job_id,
                "user_id": user_id,
                "unsigned": False,
                "created_at": now(),
            }
            insert = self._insert(ShownMessage).values(
                chat_id=place.chat_id,
                message_id=place.message_id,
                inline_message_id=place.inline_message_id,
                **values,
            )
            key = (
                [ShownMessage.chat_id, ShownMessage.message_id]
                if place.inline_message_id is None
                else [ShownMessage.inline_message_id]
            )
            statement = insert.on_conflict_do_update(index_elements=key, set_=values).returning(ShownMessage)
            row: ShownMessage = (await session.scalars(statement)).one()
            return row

    async def shown(self, place: MessageKey) -> ShownMessage | None:
        """What this message shows; None: it is none of the bot's that can be pressed or answered."""
        async with self._read() as session:
            return await session.scalar(
                select(ShownMessage).where(
                    ShownMessage.inline_message_id == place.inline_message_id
                    if place.inline_message_id is not None
                    else and_(
                        ShownMessage.chat_id == place.chat_id, ShownMessage.message_id == place.message_id
                    )
                )
            )

    # ---- feedback ----

    async def rate(self, user_id: int, caption_id: int, mark: int) -> int | None:
        """Set the person's mark, 1..5, of a caption; returns the mark before, None if there was none.

        Raises ValueError on another mark, NotStored when the caption or the person was erased.
        """
        if mark not in range(1, 6):
            raise ValueError(f"A mark is 1, 2, 3, 4 or 5, not {mark}.")
        moment = now()
        insert = self._insert(Rating).values(
            user_id=user_id, caption_id=caption_id, mark=mark, created_at=moment, updated_at=moment
        )
        upsert = insert.on_conflict_do_update(
            index_elements=[Rating.user_id, Rating.caption_id],
            set_={"mark": insert.excluded.mark, "updated_at": insert.excluded.updated_at},
        )
        async with self._write() as session:
            before = await session.scalar(
                select(Rating.mark)
                .where(Rating.user_id == user_id, Rating.caption_id == caption_id)
                .with_for_update()
            )
            await session.execute(upsert)
            return before

    async def rating(self, user_id: int, caption_id: int) -> int | None:
        """The person's mark of a caption, 1..5; None: not rated."""
        async with self._read() as session:
            return await session.scalar(
                select(Rating.mark).where(Rating.user_id == user_id, Rating.caption_id == caption_id)
            )

    async def mean_rating(self, caption_id: int) -> tuple[float | None, int]:
        """The mean mark of a caption, 1..5 (None: nobody rated), and how many people rated."""
        async with self._read() as session:
            mean, people = (
                await session.execute(
                    select(func.avg(Rating.mark), func.count()).where(Rating.caption_id == caption_id)
                )
            ).one()
            return None if mean is None else float(mean), people

    async def correct(self, user_id: int, caption_id: int, text: str) -> None:
        """A better description; the newest counts, the older ones stay as history. Raises NotStored."""
        async with self._write() as session:
            session.add(Correction(user_id=user_id, caption_id=caption_id, text=text, created_at=now()))

    async def correction(self, user_id: int, caption_id: int) -> str | None:
        """The person's newest correction of a caption."""
        async with self._read() as session:
            return await session.scalar(
                select(Correction.text)
                .where(Correction.user_id == user_id, Correction.caption_id == caption_id)
                .order_by(Correction.id.desc())
                .limit(1)
            )

    # ---- updates that came by webhook ----

    async def take_update(self, update_id: int, body: dict[str, Any], telegram_id: int | None) -> bool:
        """Write an update of this person down; False: it came before."""
        insert = self._insert(PostedUpdate).values(
            update_id=update_id, body=body, telegram_id=telegram_id, held_at=now()
        )
        statement = insert.on_conflict_do_nothing(index_elements=[PostedUpdate.update_id]).returning(
            PostedUpdate.update_id
        )
        async with self._write() as session:
            return (await session.scalar(statement)) is not None

    async def update_done(self, update_id: int) -> None:
        """Only its number is remembered from now on."""
        async with self._write() as session:
            await session.execute(
                update(PostedUpdate)
                .where(PostedUpdate.update_id == update_id)
                .values(body=None, telegram_id=None)
            )

    async def hold_updates(self, update_ids: Iterable[int]) -> None:
        """Say that this process works on these updates."""
        await self._hold(PostedUpdate.update_id, update_ids, PostedUpdate.held_at)

    async def left_updates(self, before: datetime) -> dict[int, dict[str, Any]]:
        """The updates that were not done and that nobody held since ``before``, by number; now held."""
        statement = (
            update(PostedUpdate)
            .where(PostedUpdate.body.is_not(None), PostedUpdate.held_at < before)
            .values(held_at=now())
            .returning(PostedUpdate)
        )
        async with self._write() as session:
            rows = sorted(await session.scalars(statement), key=lambda row: row.update_id)
            return {row.update_id: row.body for row in rows if row.body is not None}

    async def forget_updates(self, before: datetime) -> None:
        """Forget the numbers of updates that were done before: they do not come again."""
        async with self._write() as session:
            await session.execute(
                delete(PostedUpdate).where(PostedUpdate.body.is_(None), PostedUpdate.held_at < before)
            )

    # ---- privacy, numbers, export ----

    async def erase(self, user_id: int) -> Erased:
        """Delete the person and everything of theirs: marks, corrections, what they asked for, and the
        pictures that they sent and nobody else did, with files, captions and what others said about those.

        Pictures of others that they asked about stay: those are their senders'. Raises NotStored.
        """
        known = await self._user(user_id)
        whose = self.sender(known.telegram_id)
        own = and_(_sent(Sending.sender == whose), ~_sent(Sending.sender != whose))
        theirs = or_(Job.user_id == user_id, Job.sender == whose)
        captions = select(CaptionRow.id).join(Picture, Picture.id == CaptionRow.picture_id).where(own)
        async with self._files.lock:
            async with self._write() as session:
                await database.lock_pictures(session, exclusive=True)
                counts = {
                    "ratings": await reports.count_rows(
                        session, Rating, or_(Rating.user_id == user_id, Rating.caption_id.in_(captions))
                    ),
                    "corrections": await reports.count_rows(
                        session,
                        Correction,
                        or_(Correction.user_id == user_id, Correction.caption_id.in_(captions)),
                    ),
                    "jobs": await reports.count_rows(session, Job, theirs),
                    "captions": await reports.count_rows(session, CaptionRow, CaptionRow.id.in_(captions)),
                    "pictures": await reports.count_rows(session, Picture, own),
                }
                await self._forget_files(session, whose)
                await self._bury(session, "user", self._pseudonym(user_id))
                posted = select(User.telegram_id).where(User.id == user_id).scalar_subquery()
                await _changed(
                    session,
                    update(PostedUpdate)
                    .where(PostedUpdate.telegram_id == posted)
                    .values(body=None, telegram_id=None),
                )
                await _changed(session, delete(Picture).where(own))
                await _changed(session, delete(Sending).where(Sending.sender == whose))
                await _changed(session, delete(Job).where(Job.sender == whose))
                if not await _changed(session, delete(User).where(User.id == user_id)):
                    raise NotStored("This person was erased.")
            removed = await self._empty_trash()
        if self._engine.dialect.name == "sqlite":
            await database.truncate_journal(self._engine)
        return Erased(files=removed, **counts)

    async def stats(self) -> Stats:
        """The whole store in numbers."""
        async with self._read() as session:
            return await reports.stats(session)

    async def feedback(
        self, *, since: datetime | None = None, min_rating: int | None = None
    ) -> AsyncIterator[Feedback]:
        """One row a person and caption with a mark or a correction: a snapshot, read bit by bit.

        ``since``: the mark or the correction is not older. ``min_rating`` (1..5): the mark is at least that;
        rows with a correction and no mark stay too.
        """
        async with self._read() as session:
            async for item in reports.feedback(session, self._pseudonym, since, min_rating):
                yield item

    async def tombstones(self) -> Sequence[Tombstone]:
        """Everybody and every kept picture erased so far, by pseudonym, the oldest first."""
        async with self._read() as session:
            order = (Tombstone.erased_at, Tombstone.kind, Tombstone.pseudonym)
            return (await session.scalars(select(Tombstone).order_by(*order))).all()

    def sender(self, telegram_id: int) -> str:
        """The pseudonym under which the sender of a picture is known (see Sending)."""
        return self._hide(f"sender {telegram_id}")

    def picture_pseudonym(self, sha256: str) -> str:
        """The same picture is the same 16 hexadecimal digits in every export."""
        return self._hide(f"picture {sha256}")

    def picture_file(self, path: str) -> Path:
        """Where the kept bytes of a :attr:`Picture.path` are."""
        return self._files.at(path)

    # ---- inner parts ----

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncSession]:
        try:
            async with AsyncSession(self._engine, expire_on_commit=False) as session:
                yield session
        except (DBAPIError, OSError) as error:
            raise _unusable(error) from error

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncSession]:
        """A transaction, committed at the end. Raises NotStored when it refers to something erased."""
        try:
            async with (
                self._one_writer or nullcontext(),
                AsyncSession(self._writer, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
        except IntegrityError as error:
            if "foreign key" in str(error.orig).lower():
                raise NotStored("This person or caption was erased.") from error
            raise
        except (DBAPIError, OSError) as error:
            raise _unusable(error) from error

    def _insert(self, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
        """An insert that can say what to do on a conflict: the one thing the dialects spell apart."""
        return sqlite.insert(table) if self._engine.dialect.name == "sqlite" else postgresql.insert(table)

    async def _set(self, table: type[User] | type[Job], row_id: int, **values: Any) -> None:
        async with self._write() as session:
            if not await _changed(session, update(table).where(table.id == row_id).values(**values)):
                raise NotStored("This person or job was erased.")

    async def _hold(
        self,
        key: InstrumentedAttribute[int],
        numbers: Iterable[int],
        moment: InstrumentedAttribute[datetime],
    ) -> None:
        if held := list(numbers):
            async with self._write() as session:
                statement = update(key.class_).where(key.in_(held)).values({moment: now()})
                await session.execute(statement.execution_options(synchronize_session=False))

    async def _make_secret(self, name: str) -> bytes:
        """The secret of this name, made by whoever comes first."""
        insert = self._insert(Secret).values(name=name, value=randomness.token_hex(32))
        async with self._write() as session:
            await session.execute(insert.on_conflict_do_nothing(index_elements=[Secret.name]))
            row = await session.get_one(Secret, name)
            return bytes.fromhex(row.value)

    def _pseudonym(self, user_id: int) -> str:
        """The same person is the same 16 hexadecimal digits in every export; nobody can go back from them."""
        return self._hide(str(user_id))

    def _hide(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:16]

    async def _bury(self, session: AsyncSession, kind: TombstoneKind, pseudonym: str) -> None:
        """Say in every later export that what stands under this pseudonym in an earlier one must go."""
        insert = self._insert(Tombstone).values(kind=kind, pseudonym=pseudonym, erased_at=now())
        await session.execute(
            insert.on_conflict_do_update(
                index_elements=[Tombstone.kind, Tombstone.pseudonym],
                set_={"erased_at": insert.excluded.erased_at},
            )
        )

    @asynccontextmanager
    async def _keeping(self, data: bytes | None) -> AsyncIterator[_Keep]:
        """Around a transaction: what it decides to keep is written to disk after its commit.

        In this order a crash leaves a row without its file, which an export reports, and never a file
        without its row, which nobody would erase.
        """
        path: str | None = None

        async def keep(session: AsyncSession, job: Job, picture: Picture) -> Picture:
            nonlocal path
            if job.keeps_picture and data is not None and picture.path is None:
                picture.path = path = files.place(picture.sha256, data)
            insert = self._insert(Sending).values(
                picture_id=picture.id,
                sender=job.sender,
                keeps=job.keeps_picture and picture.path is not None,
            )
            # Who has sent it before and let it be kept has not taken that back by sending it again.
            keeps = or_(Sending.keeps, insert.excluded.keeps)
            await session.execute(
                insert.on_conflict_do_update(
                    index_elements=[Sending.picture_id, Sending.sender], set_={"keeps": keeps}
                )
            )
            return picture

        async with nullcontext() if data is None else self._files.lock:
            yield keep
            if path is not None and data is not None:
                await self._write_file(path, data)

    async def _write_file(self, path: str, data: bytes) -> None:
        try:
            await self._files.write(path, data)
        except OSError as error:  # a full disk must not cost anybody the answer
            _log.warning("A picture could not be kept (%s); check the space and rights of DATA_DIR.", error)
            async with self._write() as session:
                await session.execute(update(Picture).where(Picture.path == path).values(path=None))
            return
        async with self._read() as session:
            used = await session.scalar(select(Picture.id).where(Picture.path == path).limit(1))
        if used is None:  # another process erased it between our commit and our write
            await self._files.remove([path])

    async def _user(self, user_id: int) -> User:
        async with self._read() as session:
            user = await session.get(User, user_id)
            if user is None:
                raise NotStored("This person was erased.")
            return user

    async def _forget_files(self, session: AsyncSession, whose: str) -> None:
        """Mark for removal the kept pictures of this sender that nobody else lets us keep."""
        await _changed(session, update(Job).where(Job.sender == whose).values(keeps_picture=False))
        await _changed(session, update(Sending).where(Sending.sender == whose).values(keeps=False))
        unkept = and_(
            Picture.path.is_not(None), _sent(Sending.sender == whose), ~_sent(Sending.keeps.is_(True))
        )
        found = (await session.execute(select(Picture.path, Picture.sha256).where(unkept))).all()
        await _changed(session, update(Picture).where(unkept).values(path=None))
        for sha256 in {sha256 for _, sha256 in found}:
            await self._bury(session, "picture", self.picture_pseudonym(sha256))
        for path in {path for path, _ in found}:
            await session.execute(
                self._insert(Removal).values(path=path).on_conflict_do_nothing(index_elements=[Removal.path])
            )

    async def _empty_trash(self) -> int:
        """Remove the files marked for removal, also by a run that was killed; returns how many there were."""
        async with self._read() as session:
            marked = set(await session.scalars(select(Removal.path)))
            used = set(
                await session.scalars(select(Picture.path).join(Removal, Removal.path == Picture.path))
            )
        if not marked:
            return 0
        try:
            removed = await self._files.remove(marked - used)
        except OSError as error:
            _log.error(
                "A file of an erased picture cannot be deleted (%s); check the rights of DATA_DIR. "
                "The next start tries again.",
                error,
            )
            return 0
        async with self._write() as session:
            for path in marked:
                await session.execute(delete(Removal).where(Removal.path == path))
        return removed


class _Keep(Protocol):
    async def __call__(self, session: AsyncSession, job: Job, picture: Picture) -> Picture: ...


def _sent(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Of a Picture in the enclosing query: somebody sent it so that ``condition`` holds."""
    return exists().where(Sending.picture_id == Picture.id, condition).correlate(Picture)


def _unusable(error: DBAPIError | OSError) -> StoreError:
    return StoreError(
        f"The database cannot be used ({_reason(error)}); check the space on its disk, and that it is whole."
    )


def _reason(error: DBAPIError | OSError | sqlite3.Error) -> object:
    return error.orig if isinstance(error, DBAPIError) else error


def _make_folders(address: URL, data_dir: Path) -> None:
    private.make_folder(data_dir)
    ours = [files.Pictures(data_dir).folder]
    if (file := database.sqlite_file(address)) is not None:
        private.make_folder(file.parent)
        if not file.exists():
            private.touch(file)
        # A file that aiosqlite cannot open leaves it with a thread that complains of a closed loop.
        sqlite3.connect(file).close()
        ours += [file, *(file.with_name(f"{file.name}{suffix}") for suffix in database.BESIDE)]
    # An earlier version left them to the umask. DATA_DIR itself may be open to a group on purpose.
    if closed := private.close(ours):
        _log.warning("%d files and folders that other users of this machine could read are closed", closed)


async def _changed(session: AsyncSession, statement: Update | Delete) -> bool:
    """Run it; whether any row was touched."""
    result = await session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount > 0
