"""Puts a backup in the place of an SQLite store that is empty, or that is kept aside."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from bot.feedback import private
from bot.feedback.backup.archive import (
    DATABASE,
    ERASED,
    PORTION,
    BackupError,
    Manifest,
    Tell,
    damaged,
    member,
)
from bot.feedback.backup.settling import Settled, settle
from bot.feedback.database import BESIDE
from bot.feedback.files import PictureFolder
from bot.feedback.locks import file_locked
from bot.feedback.store import Store
from bot.feedback.tables import Tombstone, now
from bot.feedback.tombstones import parse_tombstones, read_tombstones
from inference.common.locks import Locked

_PICTURE = re.compile(r"pictures/([0-9a-f]{2})/\1[0-9a-f]{62}\.\w{1,5}")
_CLOCKS = timedelta(minutes=5)  # by which Telegram's and the machine's may differ
_JOURNALS = tuple(suffix for suffix in BESIDE if suffix != ".lock")


@dataclass(frozen=True, slots=True)
class _Replaced:
    """What is known of the store that goes, and of the time since the backup."""

    there: bool = True
    erased: Sequence[Tombstone] = ()
    refusing: Collection[int] = ()  # Telegram ids of people who do not let their pictures be kept
    worked_until: datetime | None = None


def restore(
    file: Path, database: Path, data_dir: Path, *, force: bool, erased: Sequence[Tombstone], tell: Tell
) -> str:
    """Put the backup ``file`` in the place of a store; returns what to tell the operator.

    ``force``: of a store that is not empty, which is kept aside, and whose erasures are kept to. ``erased``:
    further ones. Nothing is replaced before the whole backup was checked. Raises StoreError (BackupError is
    one), OSError, sqlite3.Error.
    """
    for folder in (database.absolute().parent, data_dir):
        private.make_folder(folder)
    staged, staging = database.with_name(f"{database.name}.restoring"), data_dir / "restoring"
    try:
        with file_locked(database):
            replaced = _look_at(database, data_dir, tell, force=force)
            _clear(staged, staging)
            try:
                manifest, erased_until = _unpack(file, staged, staging, tell)
                gone = [*erased_until, *erased, *replaced.erased]
                settled = asyncio.run(_settle(staged, staging, replaced, gone))
                _one_file(staged)
                aside = _set_aside(database, data_dir) if replaced.there else []
                _put(staged, staging, database, data_dir)
            finally:
                _clear(staged, staging)
    except Locked as error:
        raise BackupError(f"A bot is at work with the database {database}; stop it first.") from error
    told = f"Restored {manifest} {settled}"
    if aside:
        names = " and ".join(map(str, aside))
        told += f" What was there before is {names}: people's data, which you delete when all is well."
    return told


def _look_at(database: Path, data_dir: Path, tell: Tell, *, force: bool) -> _Replaced:
    """What is known of the store that goes. Raises BackupError where it must not go."""
    if _is_empty(database) and not any(PictureFolder(data_dir).folder.rglob("*.*")):
        return _Replaced(there=False)
    if not force:
        raise BackupError(
            f"There is a store at {database} and {data_dir} already; --force keeps it aside and restores in "
            "its place."
        )
    return _read_replaced(database, tell)


def _is_empty(database: Path) -> bool:
    if not database.exists() or not database.stat().st_size:
        return True
    try:
        with closing(sqlite3.connect(database)) as connection:
            return not any(
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - ours
                for table in ("users", "jobs", "pictures", "captions", "tombstones")
            )
    except sqlite3.Error:  # damaged, or no store: somebody must decide
        return False


def _read_replaced(database: Path, tell: Tell) -> _Replaced:
    try:
        with closing(sqlite3.connect(database)) as old:
            refusing = [
                number for (number,) in old.execute("SELECT telegram_id FROM users WHERE NOT consent")
            ]
            (until,) = old.execute("SELECT max(updated_at) FROM jobs").fetchone()
            return _Replaced(
                erased=read_tombstones(old),
                refusing=refusing,
                worked_until=None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC),
            )
    except sqlite3.Error as error:
        tell(
            f"The store that is replaced cannot be read ({error}), so what was erased since the backup is "
            "not known: give the erased.jsonl of the newest export with --erased."
        )
        return _Replaced()


def _unpack(file: Path, staged: Path, staging: Path, tell: Tell) -> tuple[Manifest, list[Tombstone]]:
    """The backup, checked, at these places; and who was erased while it was made."""
    try:
        with tarfile.open(file, "r:") as archive:
            manifest = Manifest.of(archive)
            tell(f"database: of {manifest.made_at}")
            _unpack_database(archive, manifest, staged)
            _unpack_pictures(archive, staged, staging, tell)
            return manifest, parse_tombstones(member(archive, ERASED).read().decode())
    except FileNotFoundError as error:
        raise BackupError(f"There is no file {file}; check the name.") from error
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, KeyError, ValueError) as error:
        raise damaged(str(error) or type(error).__name__) from error


def _unpack_database(archive: tarfile.TarFile, manifest: Manifest, staged: Path) -> None:
    digest = hashlib.sha256()
    with gzip.open(member(archive, DATABASE)) as packed, private.opened(staged) as plain:
        while portion := packed.read(PORTION):
            digest.update(portion)
            plain.write(portion)
    if digest.hexdigest() != manifest.database_sha256:
        raise damaged("its database is another one than its manifest says")
    try:
        with closing(sqlite3.connect(staged)) as connection:
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise damaged(f"its database: {error}") from error
    if state != "ok":
        raise damaged(f"its database: {state}")


def _unpack_pictures(archive: tarfile.TarFile, staged: Path, staging: Path, tell: Tell) -> None:
    private.make_folder(PictureFolder(staging).folder)
    with closing(sqlite3.connect(staged)) as connection:
        named = [
            path
            for (path,) in connection.execute("SELECT DISTINCT path FROM pictures WHERE path IS NOT NULL")
        ]
    held = {one.name: one for one in archive.getmembers()}
    for number, path in enumerate(named, 1):
        file = archive.extractfile(held[path]) if path in held and _PICTURE.fullmatch(path) else None
        data = b"" if file is None else file.read()
        if hashlib.sha256(data).hexdigest() != PurePosixPath(path).stem:
            raise damaged(f"its picture {path} is missing or not whole")
        private.make_folder((staging / path).parent)
        with private.opened(staging / path) as plain:
            plain.write(data)
        if number % 1000 == 0:
            tell(f"pictures: {number} of {len(named)}")


async def _settle(staged: Path, staging: Path, replaced: _Replaced, erased: Sequence[Tombstone]) -> Settled:
    until = now() if replaced.worked_until is None else min(now(), replaced.worked_until + _CLOCKS)
    async with await Store.open(f"sqlite+aiosqlite:///{staged}", staging) as store:
        return await settle(store, asked_until=until, erased=erased, refusing=replaced.refusing)


def _one_file(staged: Path) -> None:
    """Bring what is in the journal into the file, which then stands alone."""
    with closing(sqlite3.connect(staged)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _set_aside(database: Path, data_dir: Path) -> list[Path]:
    tag = f".before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    aside = database.with_name(database.name + tag)
    moved = []
    for suffix in ("", *_JOURNALS):
        with suppress(FileNotFoundError):
            database.with_name(database.name + suffix).rename(aside.with_name(aside.name + suffix))
            moved.append(aside)
    pictures = PictureFolder(data_dir).folder
    with suppress(FileNotFoundError):
        moved.append(pictures.rename(pictures.with_name(pictures.name + tag)))
    return list(dict.fromkeys(moved))


def _put(staged: Path, staging: Path, database: Path, data_dir: Path) -> None:
    pictures = PictureFolder(data_dir).folder
    with suppress(FileNotFoundError):
        shutil.rmtree(pictures)  # of an empty store
    PictureFolder(staging).folder.rename(pictures)
    for suffix in _JOURNALS:  # of a bot that found no store meanwhile, and the lock
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    staged.replace(database)


def _clear(staged: Path, staging: Path) -> None:
    """Delete what a restore that was killed left."""
    shutil.rmtree(staging, ignore_errors=True)
    for suffix in ("", *BESIDE):
        staged.with_name(staged.name + suffix).unlink(missing_ok=True)
