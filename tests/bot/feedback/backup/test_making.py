"""A backup of a store at work: all of one moment, whole or not there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.feedback.backup.commands import run_backup, run_restore
from bot.feedback.database import StoreError
from bot.feedback.store import Store
from inference.common.locks import locked
from tests.bot.feedback.backup.writing import drawn
from tests.bot.feedback.conftest import Chat, fields, kept, meme

ROOT = Path(__file__).parents[4]


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite, whatever the other tests use: PostgreSQL has its own way."""
    return f"sqlite+aiosqlite:///{tmp_path}/base/bot.db"


async def test_what_was_written_before_it_began_is_in_a_backup_of_a_store_that_is_written_to(
    url: str, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "backup.tar"
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bot.feedback.backup.writing", url, str(data_dir)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert writer.stdout is not None
        written = 0
        while written < 60:
            written = int(await writer.stdout.readline())
        told = await asyncio.to_thread(run_backup, url, data_dir, out, quiet)
        assert writer.returncode is None  # it went on all the while
    finally:
        writer.kill()
        await writer.communicate()
    assert "are left out" not in told
    assert out.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["backup.tar", "base", "data"]
    there = tmp_path / "there"
    await asyncio.to_thread(run_restore, f"sqlite:///{there}/bot.db", there / "data", out, quiet)
    with closing(sqlite3.connect(there / "bot.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        (rated,) = database.execute("SELECT count(*) FROM ratings").fetchone()
        paths = {path for (path,) in database.execute("SELECT path FROM pictures")}
    assert rated > written
    # Each row's picture is there, and no other.
    assert paths == {path.relative_to(there / "data").as_posix() for path in kept(there / "data")}
    assert (there / "data" / kept_at(drawn(written))).read_bytes() == drawn(written)


async def test_a_backup_killed_in_its_middle_leaves_the_one_before(
    url: str, data_dir: Path, tmp_path: Path, store: Store, chat: Chat
) -> None:
    out = tmp_path / "backup.tar"
    await chat.answer(await chat.person(1), meme())
    await asyncio.to_thread(run_backup, url, data_dir, out, quiet)
    before = out.read_bytes()
    (picture,) = kept(data_dir)
    picture.unlink()
    os.mkfifo(picture)  # who reads it waits for whoever writes
    backup = await command("backup", "--out", str(out), url=url, data_dir=data_dir)
    writing = await asyncio.to_thread(os.open, picture, os.O_WRONLY)
    backup.send_signal(signal.SIGKILL)
    await backup.wait()
    os.close(writing)
    assert out.read_bytes() == before
    picture.unlink()
    picture.write_bytes(meme())
    # What it left is in nobody's way.
    await asyncio.to_thread(run_backup, url, data_dir, out, quiet)
    assert manifest(out)["pictures"] == 1
    assert names(tmp_path) == ["backup.tar", "base", "data"]


async def test_a_picture_erased_meanwhile_is_not_in_it_and_a_lost_one_is_told(
    url: str, data_dir: Path, tmp_path: Path, store: Store, chat: Chat
) -> None:
    await chat.answer(await chat.person(1), meme("РАЗ"))
    await chat.answer(await chat.person(2), meme("ДВА"))
    first, second = kept(data_dir)
    first.unlink()
    second.write_bytes(b"another one")
    out = tmp_path / "backup.tar"
    told = await asyncio.to_thread(run_backup, url, data_dir, out, quiet)
    assert "The files of 2 kept pictures were not there or not whole" in told
    assert manifest(out)["pictures"] == 0


async def test_one_backup_at_a_time_is_written_to_a_file(
    url: str, data_dir: Path, tmp_path: Path, store: Store
) -> None:
    out = tmp_path / "backup.tar"
    with locked(tmp_path / "backup.tar.partial"), pytest.raises(StoreError, match="Another backup is being"):
        await asyncio.to_thread(run_backup, url, data_dir, out, quiet)
    await asyncio.to_thread(run_backup, url, data_dir, out, quiet)
    assert manifest(out)["rows"]["users"] == 0


async def test_what_cannot_be_backed_up_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "backup.tar"
    with pytest.raises(StoreError, match="check DATABASE_URL"):
        run_backup(f"sqlite:///{tmp_path}/typo.db", tmp_path, out, quiet)
    with pytest.raises(StoreError, match=r"pg_dump and pg_restore, as docs/operating\.md says"):
        run_backup("postgresql://a:b@host/c", tmp_path, out, quiet)
    (tmp_path / "no.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"no\.db is damaged"):
        run_backup(f"sqlite:///{tmp_path}/no.db", tmp_path, out, quiet)
    with pytest.raises(StoreError, match="cannot be written to"):
        run_backup(f"sqlite:///{tmp_path}/no.db", tmp_path, tmp_path / "no.db" / "backup.tar", quiet)
    assert not out.exists()


async def test_a_database_whose_middle_is_damaged_is_said_to_be(
    url: str, data_dir: Path, tmp_path: Path, store: Store
) -> None:
    await store.close()
    file = tmp_path / "base" / "bot.db"
    file.write_bytes(file.read_bytes()[:8192].ljust(file.stat().st_size, b"\xff"))
    with pytest.raises(StoreError, match=f"The database {file} is damaged"):
        await asyncio.to_thread(run_backup, url, data_dir, tmp_path / "backup.tar", quiet)
    assert not (tmp_path / "backup.tar").exists()


def kept_at(data: bytes) -> str:
    """Where a picture lies in the data folder."""
    sha256 = fields(data).sha256
    return f"pictures/{sha256[:2]}/{sha256}.jpg"


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def manifest(out: Path) -> dict[str, Any]:
    """What a backup says of itself."""
    with tarfile.open(out) as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        return dict(json.load(file))


async def command(*words: str, url: str, data_dir: Path) -> asyncio.subprocess.Process:
    """``python -m bot`` with these words."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": url,
            "DATA_DIR": str(data_dir),
        },
        cwd=data_dir,
    )
