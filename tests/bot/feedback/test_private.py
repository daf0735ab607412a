"""Other users of the machine can read nothing that the bot keeps, whatever the umask and whoever made it."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.feedback import private
from bot.feedback.export import archive, export
from bot.feedback.store import Store
from inference.common.locks import Locked
from tests.bot.feedback.conftest import Chat, meme

OTHERS = 0o077


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.stat().st_mode & OTHERS)


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def kept(store: Store) -> None:
    """A consenting person's picture, and a mark."""
    chat = Chat(store)
    anna = await chat.person(1)
    caption = await chat.answer(anna, meme("СЛОВА"))
    await store.marks.rate(anna.id, caption.id, 5)


async def test_what_is_made_is_closed(tmp_path: Path, umask: int) -> None:
    base = tmp_path / "base"
    base.mkdir(0o700)
    url = f"sqlite+aiosqlite:///{base}/some/where/bot.db"
    async with await Store.open(url, base / "data") as store, store.locks.bot(alone=True):
        await kept(store)
        assert {path.name for path in (base / "some" / "where").iterdir()} >= {
            "bot.db",
            "bot.db-wal",
            "bot.db.lock",
        }
        assert list((base / "data" / "pictures").rglob("*.jpg"))
        await export(store, base / "out" / "feedback")
        await archive(base / "out" / "feedback", base / "out" / "parts")
        async with store.locks.one_export() as folder:
            (folder / "x").touch()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "x").unlink()
        assert open_to_others(base) == []


async def test_what_an_earlier_version_made_is_closed_at_the_start_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, data = f"sqlite+aiosqlite:///{tmp_path}/bot.db", tmp_path / "data"
    async with await Store.open(url, data) as store:
        await kept(store)
    for path in (*data.rglob("*"), data, tmp_path / "bot.db"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (data / "notes.txt").write_text("the operator's own")
    (data / "notes.txt").chmod(0o640)
    data.chmod(0o750)  # open to a group on purpose
    (tmp_path / "bot.db-journal").touch(0o644)

    async with await Store.open(url, data) as store:
        assert open_to_others(data) == ["notes.txt"]
        assert stat.S_IMODE(data.stat().st_mode) == 0o750, "that folder is the operator's to open"
        for name in ("bot.db", "bot.db-journal"):
            assert not (tmp_path / name).stat().st_mode & OTHERS
        await kept_again(store)
    told = [record for record in caplog.records if "other users of this machine could read" in record.message]
    assert len(told) == 1 and told[0].levelno == logging.WARNING
    caplog.clear()
    async with await Store.open(url, data):
        assert not caplog.records


async def kept_again(store: Store) -> None:
    user = await store.people.find(1)
    assert user is not None and user.consent


def test_links_lead_nowhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    elsewhere.chmod(0o644)
    folder = tmp_path / "pictures"
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "link.jpg").symlink_to(elsewhere)
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    folder.chmod(0o755)
    (folder / "ab").chmod(0o755)
    assert private.close([folder, tmp_path / "none"]) == 2
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644
    assert private.close([folder]) == 0


def test_what_cannot_be_closed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("not the owner")

    (tmp_path / "bot.db").touch(0o644)
    (tmp_path / "bot.db").chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refused)
    assert private.close([tmp_path / "bot.db"]) == 0
    assert "can read 1 files and folders" in caplog.text


async def test_one_archive_is_made_at_a_time_and_nothing_of_it_stays(
    store: Store, url: str, data_dir: Path
) -> None:
    before = everything(data_dir)
    async with store.locks.one_export() as folder:
        (folder / "half.zip").write_bytes(b"x")
        for other in (store, await Store.open(url, data_dir)):
            with pytest.raises(Locked):
                async with other.locks.one_export():
                    pass
            await other.locks.clear_export()
        assert (folder / "half.zip").is_file(), "nobody clears what is in work"
        await other.close()
    with pytest.raises(asyncio.CancelledError):
        async with store.locks.one_export() as folder:
            (folder / "half.zip").write_bytes(b"x")
            raise asyncio.CancelledError
    assert everything(data_dir) == before
    (data_dir / "export" / "parts").mkdir(parents=True)
    (data_dir / "export" / "parts" / "of a bot that was killed.zip").touch()
    await store.locks.clear_export()
    assert everything(data_dir) == before
