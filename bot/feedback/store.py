"""What the bot remembers, by aggregate: ``store.people``, ``store.jobs``, ``store.captions``, ...

Every method of an aggregate is one short transaction, safe to call from many tasks at once; one that takes a
session is a part of its caller's. All raise StoreAway when the database cannot be used just then: a full
disk, a lock, a server that is away. ``user_id`` is always :attr:`User.id`, never Telegram's number. Moments
are timezone-aware and in UTC.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.feedback import database, private
from bot.feedback.captions import Captions
from bot.feedback.database import StoreError
from bot.feedback.erasure import Erasure
from bot.feedback.files import PictureFolder
from bot.feedback.jobs import Jobs
from bot.feedback.locks import Locks
from bot.feedback.marks import Marks
from bot.feedback.messages import Messages
from bot.feedback.muted import MutedIds
from bot.feedback.overview import Overview
from bot.feedback.people import People
from bot.feedback.pictures import Pictures
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.reports import Reports
from bot.feedback.restores import Restores
from bot.feedback.retention import Retention
from bot.feedback.sessions import Outage, Sessions, Watcher, reason
from bot.feedback.tables import Secret
from bot.feedback.tallies import Tallies
from bot.feedback.tombstones import Tombstones
from bot.feedback.turns import Turns
from bot.feedback.updates import Updates
from bot.feedback.upgrade import migrate
from bot.feedback.usage import Usages

_log = logging.getLogger(__name__)


class Store:
    """SQLite or PostgreSQL, and the folder of kept pictures. Made by :meth:`open`.

    An aggregate is a file of this package: it has the methods that belong to its tables, and no other has.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        sessions: Sessions,
        data_dir: Path,
        *,
        hiding: bytes,
        signing: bytes,
        asked_until: datetime | None = None,
    ) -> None:
        self.sessions = sessions
        self.locks = Locks(engine, data_dir)
        self.pseudonyms = Pseudonyms(hiding)
        self.tombstones = Tombstones(sessions)
        self.pictures = Pictures(sessions, PictureFolder(data_dir), self.pseudonyms, self.tombstones)
        self.people = People(sessions, self.pictures, self.pseudonyms)
        self.restores = Restores(sessions)
        usages = Usages(sessions, self.pseudonyms)
        self.jobs = Jobs(sessions, self.people, usages, secrets.token_hex(8), asked_until)
        self.retention = Retention(sessions, self.pictures, self.pseudonyms, self.tombstones)
        self.muted = MutedIds(sessions)
        self.captions = Captions(sessions, self.pictures)
        self.marks = Marks(sessions)
        self.turns = Turns(sessions)
        self.messages = Messages(sessions, signing)
        self.updates = Updates(sessions)
        self.tallies = Tallies(sessions)
        self.reports = Reports(sessions, self.pseudonyms, self.tallies)
        self.overview = Overview(sessions, self.tallies)
        self.erasure = Erasure(sessions, self.people, self.pictures, self.pseudonyms, self.tombstones)

    @classmethod
    async def open(cls, url: str, data_dir: Path, watcher: Watcher | None = None) -> Self:
        """Connect to DATABASE_URL and bring its tables up to date; creates what is missing.

        Raises StoreError, whose text says what to do, when that cannot be done.
        """
        address = database.database_url(url)
        try:
            await asyncio.to_thread(_make_folders, address, data_dir)
            await migrate(address)
            engine = database.create_engine(address)
            sessions = Sessions(engine, watcher)
            try:
                hiding, signing = [await _secret(sessions, name) for name in ("pseudonyms", "buttons")]
                asked_until = await Restores(sessions).asked_until()
                store = cls(
                    engine, sessions, data_dir, hiding=hiding, signing=signing, asked_until=asked_until
                )
                await store.pictures.empty_trash()
                await store.erasure.finish()
            except BaseException:
                await sessions.close()
                raise
        except (DBAPIError, OSError, sqlite3.Error) as error:
            raise StoreError(
                f"The database {address.render_as_string(hide_password=True)} cannot be opened "
                f"({reason(error)}); "
                "check DATABASE_URL and DATA_DIR, that the server runs and that both may be written to."
            ) from error
        return store

    @property
    def outage(self) -> Outage | None:
        """Why the database cannot be used; None: it can be, as far as anybody has tried."""
        return self.sessions.outage

    async def try_again(self) -> None:
        """Write something, so that an outage ends when it is over. Raises StoreError."""
        async with self.sessions.transaction():
            pass

    async def close(self) -> None:
        """Give the connections back. The store cannot be used afterwards."""
        await self.sessions.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _secret(sessions: Sessions, name: str) -> bytes:
    """The secret of this name, made by whoever comes first."""
    insert = sessions.insert(Secret).values(name=name, value=secrets.token_hex(32))
    async with sessions.transaction() as session:
        await session.execute(insert.on_conflict_do_nothing(index_elements=[Secret.name]))
        row = await session.get_one(Secret, name)
        return bytes.fromhex(row.value)


def _make_folders(address: URL, data_dir: Path) -> None:
    private.make_folder(data_dir)
    ours = [PictureFolder(data_dir).folder]
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
