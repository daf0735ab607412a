"""Makes a backup of a store at work. Blocking, and in no process that serves anybody."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

from bot.feedback import private
from bot.feedback.backup.archive import (
    DATABASE,
    ERASED,
    MANIFEST,
    PORTION,
    BackupError,
    Manifest,
    Tell,
)
from bot.feedback.files import PictureFolder
from bot.feedback.sqlite import WAIT
from bot.feedback.tables import iso, now
from bot.feedback.tombstones import read_tombstones, write_tombstones
from inference.common.locks import Locked, locked

_PAGES = 2000  # of the database that are copied between two lines about how far it is: 8 MB
_PATIENCE = 3.0  # seconds in which a picture whose row is written is written too
_SAY_EVERY = 1.0  # seconds
_NAMED = "SELECT DISTINCT path FROM pictures WHERE path IS NOT NULL ORDER BY path"


def back_up(database: Path, data_dir: Path, out: Path, tell: Tell) -> Manifest:
    """Write all of a store, which may be at work, as one file ``out``; it is there only when it is whole.

    It is the store of one moment at the beginning: whatever was acknowledged before is in it. What is erased
    while it is made is not restored from it. Raises BackupError, OSError, sqlite3.Error.
    """
    private.make_folder(out.absolute().parent)
    partial, copy = (out.with_name(out.name + suffix) for suffix in (".partial", ".partial.db"))
    private.touch(partial)
    try:
        with locked(partial):
            try:
                manifest = _write(partial, copy, database, PictureFolder(data_dir), tell)
                partial.replace(out)
                _sync(out.absolute().parent)
            finally:
                partial.unlink(missing_ok=True)
                copy.unlink(missing_ok=True)
    except Locked as error:
        raise BackupError(
            f"Another backup is being written to {out}; wait for it, or name another file."
        ) from error
    return manifest


def _write(partial: Path, copy: Path, database: Path, folder: PictureFolder, tell: Tell) -> Manifest:
    say = _Progress(tell)
    copy.unlink(missing_ok=True)  # of a backup that was killed
    private.touch(copy)
    with closing(_connect(database)) as live, private.opened(partial) as file:
        made_at = now()
        _copy(live, copy, say)
        with tarfile.open(fileobj=file, mode="w") as archive, closing(_connect(copy)) as copied:
            pictures = _Pictures(archive, folder, live, copied)
            pictures.add(say)
            revision = copied.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            rows = dict(_counts(copied))
            copied.close()
            digest = _add_database(archive, copy, say)
            _add(archive, ERASED, write_tombstones(now(), read_tombstones(live)).encode())
            manifest = Manifest(
                made_at=iso(made_at),
                revision=revision,
                database_sha256=digest,
                pictures=pictures.count,
                picture_bytes=pictures.bytes,
                missing=pictures.missing,
                rows=rows,
            )
            _add(archive, MANIFEST, manifest.to_json())
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {WAIT}")
    return connection


def _copy(live: sqlite3.Connection, copy: Path, say: _Progress) -> None:
    """The database as it is now, as a file of its own without a journal.

    Copied within a transaction that reads: SQLite begins a copy anew whenever another process has written,
    which beside a bot would be for ever.
    """
    live.execute("BEGIN")
    live.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment
    with closing(sqlite3.connect(copy, isolation_level=None)) as target:
        live.backup(
            target,
            pages=_PAGES,
            progress=lambda _, left, of: say(f"database: {of - left} of {of} pages"),
            sleep=0,
        )
        target.execute("PRAGMA journal_mode = DELETE")
    live.execute("COMMIT")


class _Pictures:
    """The kept pictures that the copy names; those that cannot be had it names no more."""

    def __init__(
        self,
        archive: tarfile.TarFile,
        folder: PictureFolder,
        live: sqlite3.Connection,
        copied: sqlite3.Connection,
    ) -> None:
        self.count = self.bytes = self.missing = 0
        self._archive = archive
        self._folder = folder
        self._live = live
        self._copied = copied

    def add(self, say: _Progress) -> None:
        named = [path for (path,) in self._copied.execute(_NAMED)]
        absent = []
        for number, path in enumerate(named, 1):
            if not self._take(path):
                absent.append(path)
            say(f"pictures: {number} of {len(named)}")
        # A row is written before its file: those of just now are there in a moment.
        deadline = time.monotonic() + _PATIENCE
        while absent and time.monotonic() < deadline:
            time.sleep(0.05)
            absent = [path for path in absent if not self._take(path)]
            if not any(self._is_named(path) for path in absent):
                break
        self.missing = sum(self._is_named(path) for path in absent)  # all others were erased meanwhile
        for path in absent:
            self._copied.execute("UPDATE pictures SET path = NULL WHERE path = ?", (path,))

    def _take(self, path: str) -> bool:
        """Whether the file is there as it was kept, and now in the archive."""
        try:
            data = self._folder.at(path).read_bytes()
        except FileNotFoundError:
            return False
        if hashlib.sha256(data).hexdigest() != PurePosixPath(path).stem:
            return False
        _add(self._archive, path, data)
        self.count += 1
        self.bytes += len(data)
        return True

    def _is_named(self, path: str) -> bool:
        return self._live.execute("SELECT 1 FROM pictures WHERE path = ?", (path,)).fetchone() is not None


def _counts(database: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    for (name,) in database.execute(tables).fetchall():
        yield name, database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - ours


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_info(name, len(data)), io.BytesIO(data))


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    return info


def _add_database(archive: tarfile.TarFile, copy: Path, say: _Progress) -> str:
    """Pack the copy into the archive; returns the digest of what was packed."""
    digest, size, done = hashlib.sha256(), copy.stat().st_size, 0
    with _packed(copy) as packed:
        with copy.open("rb") as plain, gzip.open(packed, "wb", compresslevel=6) as file:
            while portion := plain.read(PORTION):
                digest.update(portion)
                file.write(portion)
                done += len(portion)
                say(f"database: {done / 1e6:.0f} of {size / 1e6:.0f} MB packed")
        with packed.open("rb") as file:
            archive.addfile(_info(DATABASE, packed.stat().st_size), file)
    return digest.hexdigest()


@contextmanager
def _packed(copy: Path) -> Iterator[Path]:
    packed = copy.with_name(copy.name + ".gz")
    private.opened(packed).close()
    try:
        yield packed
    finally:
        packed.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """What was renamed in the folder stays so through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Progress:
    """Says how far it is, not too often."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._next = time.monotonic() + _SAY_EVERY

    def __call__(self, line: str) -> None:
        if time.monotonic() >= self._next:
            self._tell(line)
            self._next = time.monotonic() + _SAY_EVERY
