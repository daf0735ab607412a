"""A restored store: what was erased since stays erased, and what is damaged replaces nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.feedback.backup.commands import run_backup, run_restore, run_restored
from bot.feedback.database import StoreError
from bot.feedback.export import export
from bot.feedback.store import Store
from bot.feedback.tables import Place, now
from tests.bot.conftest import unfinished
from tests.bot.feedback.backup.test_making import manifest, names, quiet
from tests.bot.feedback.conftest import Chat, kept, meme


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/base/bot.db"


@pytest.fixture
async def out(url: str, data_dir: Path, tmp_path: Path, store: Store, chat: Chat) -> Path:
    """A backup of a store with three people, who let their pictures be kept, and of an open job."""
    for number in (1, 2, 3):
        row = await chat.answer(await chat.person(number), meme(f"КОТ {number}"))
        await store.marks.rate(1, row.id, number)
    await chat.job(await chat.person(1), "unique-open")
    file = tmp_path / "backup.tar"
    await asyncio.to_thread(run_backup, url, data_dir, file, quiet)
    return file


async def test_what_was_erased_since_is_erased_again(
    url: str, data_dir: Path, tmp_path: Path, store: Store, out: Path
) -> None:
    anna, boris = await store.people.find(1), await store.people.find(2)
    assert anna is not None and boris is not None
    await store.erasure.erase(anna.id)
    await store.people.set_consent(boris.id, False)
    await store.close()
    with pytest.raises(StoreError, match="--force keeps it aside"):
        await asyncio.to_thread(run_restore, url, data_dir, out, quiet)
    told = await asyncio.to_thread(partial(run_restore, url, data_dir, out, quiet, force=True))
    assert "Erased since the backup, and again now: 1 people" in told
    aside = [name for name in names(data_dir) + names(tmp_path / "base") if "before" in name]
    assert len(aside) == 2 and all(name in told for name in aside)
    async with await Store.open(url, data_dir) as restored:
        assert await restored.people.find(1) is None
        found = await restored.people.find(2)
        assert found is not None and not found.consent
        assert len(kept(data_dir)) == 1  # the third one's, who changed nothing
        assert (await restored.reports.stats()).kept_pictures == 1
        # Whoever comes now is none of those that came since the backup.
        newcomer = await restored.people.meet(99, language="ru")
        assert newcomer.id > 10_000_000


async def test_erasures_can_come_from_an_export_where_the_store_is_lost(
    tmp_path: Path, store: Store, out: Path
) -> None:
    anna, boris = await store.people.find(1), await store.people.find(2)
    assert anna is not None and boris is not None
    await store.erasure.erase(anna.id)
    await store.people.set_consent(boris.id, False)
    await export(store, tmp_path / "export")
    there = tmp_path / "there"
    arguments = (f"sqlite:///{there}/bot.db", there / "data", out, quiet)
    told = await asyncio.to_thread(
        partial(run_restore, *arguments, erased=tmp_path / "export" / "erased.jsonl")
    )
    assert "again now: 1 people, 1 pictures" in told
    async with await Store.open(f"sqlite:///{there}/bot.db", there / "data") as restored:
        assert await restored.people.find(1) is None
        assert len(kept(there / "data")) == 1
        # What an export of before must be cleaned of is still told.
        assert len(await restored.tombstones.all()) == len(await store.tombstones.all())


async def test_open_jobs_and_updates_that_come_again_may_have_been_answered(
    url: str, data_dir: Path, tmp_path: Path, store: Store, out: Path
) -> None:
    there = tmp_path / "there"
    address = f"sqlite:///{there}/bot.db"
    asked_at = now()
    told = await asyncio.to_thread(run_restore, address, there / "data", out, quiet)
    assert "1 pictures were not answered yet: a note with a button comes for each" in told
    async with await Store.open(address, there / "data") as restored:
        (job,) = await unfinished(restored)
        assert job.sending_at is not None
        accept = partial(
            restored.jobs.accept, user_id=1, place=Place(1), file_id="f", file_unique_id="u", language="ru"
        )
        ((old, _),) = await accept(message_id=70, asked_at=asked_at)
        ((new, _),) = await accept(message_id=71, asked_at=now() + timedelta(seconds=1))
        assert old.sending_at is not None and new.sending_at is None


async def test_after_a_restore_by_other_means(url: str, data_dir: Path, store: Store, out: Path) -> None:
    stray = data_dir / "pictures" / "ab" / ("ab" * 32 + ".jpg")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"kept after the dump")
    assert "1 pictures were not answered yet" in await asyncio.to_thread(run_restored, url, data_dir)
    assert not stray.exists()
    assert len(kept(data_dir)) == 3


async def test_a_bot_at_work_is_not_restored_over(
    url: str, data_dir: Path, store: Store, out: Path, tmp_path: Path
) -> None:
    for alone in (True, False):
        async with store.locks.bot(alone=alone):
            with pytest.raises(StoreError, match=r"A bot is at work with the database .*; stop it first"):
                await asyncio.to_thread(partial(run_restore, url, data_dir, out, quiet, force=True))


def cut(out: Path) -> None:
    """Half of it."""
    data = out.read_bytes()
    out.write_bytes(data[: len(data) // 2])


def without_end(out: Path) -> None:
    """Written to before its last member."""
    change(out, lambda name, data: None if name == "manifest.json" else data)


def changed_picture(out: Path) -> None:
    """A picture is another one."""
    change(out, lambda name, data: data[:-1] + b"!" if name.startswith("pictures/") else data)


def without_pictures(out: Path) -> None:
    """Rows name pictures that are not there."""
    change(out, lambda name, data: None if name.startswith("pictures/") else data)


def changed_database(out: Path) -> None:
    """Of the database's bytes some are others."""
    change(out, lambda name, data: data[:200] + b"\0" * 9 + data[209:] if name == "bot.db.gz" else data)


def no_archive(out: Path) -> None:
    """Somebody else's file."""
    out.write_bytes(b"PK" + b"?" * 5000)


@pytest.mark.parametrize(
    "damage", [cut, without_end, changed_picture, without_pictures, changed_database, no_archive]
)
async def test_a_damaged_backup_replaces_nothing(
    damage: Callable[[Path], None], url: str, data_dir: Path, store: Store, out: Path
) -> None:
    await store.close()
    before = {path: path.read_bytes() for path in kept(data_dir)}
    damage(out)
    with pytest.raises(StoreError, match=r"This is no whole backup \(.*\); take another one\."):
        await asyncio.to_thread(partial(run_restore, url, data_dir, out, quiet, force=True))
    assert {path: path.read_bytes() for path in kept(data_dir)} == before
    async with await Store.open(url, data_dir) as same:
        assert await same.people.find(3) is not None
        assert (await same.reports.stats()).kept_pictures == 3
    assert names(data_dir) == ["pictures"]


async def test_a_backup_of_a_newer_version_says_so(url: str, tmp_path: Path, store: Store, out: Path) -> None:
    there = (f"sqlite:///{tmp_path}/x/bot.db", tmp_path / "x")
    told = json.dumps(manifest(out) | {"format": 2}).encode()
    change(out, lambda name, data: told if name == "manifest.json" else data)
    with pytest.raises(StoreError, match="newer version of this project; update the bot first"):
        await asyncio.to_thread(run_restore, *there, out, quiet)
    with closing(sqlite3.connect(tmp_path / "base" / "bot.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    await asyncio.to_thread(run_backup, url, tmp_path / "data", out, quiet)
    with pytest.raises(StoreError, match=r"newer version of this project .*; update the bot"):
        await asyncio.to_thread(run_restore, *there, out, quiet)
    with pytest.raises(StoreError, match="There is no file"):
        await asyncio.to_thread(run_restore, *there, tmp_path / "typo.tar", quiet)
    assert names(tmp_path / "x") == ["bot.db.lock"]


async def test_a_store_that_cannot_be_read_is_replaced_and_that_is_told(
    url: str, data_dir: Path, tmp_path: Path, store: Store, out: Path
) -> None:
    await store.close()
    (tmp_path / "base" / "bot.db").write_bytes(b"no database" * 1000)
    lines: list[str] = []
    await asyncio.to_thread(partial(run_restore, url, data_dir, out, lines.append, force=True))
    assert any("cannot be read" in line and "--erased" in line for line in lines)
    with closing(sqlite3.connect(tmp_path / "base" / "bot.db")) as database:
        assert database.execute("SELECT count(*) FROM ratings").fetchone() == (3,)


def change(out: Path, how: Callable[[str, bytes], bytes | None]) -> None:
    """Write a backup anew, each member as ``how`` gives it; None: not at all."""
    with tarfile.open(out) as archive:
        held = [(one, archive.extractfile(one)) for one in archive.getmembers()]
        told = [(one, how(one.name, file.read())) for one, file in held if file is not None]
    with tarfile.open(out, "w") as archive:
        for one, data in told:
            if data is not None:
                one.size = len(data)
                path = out.with_name("member")
                path.write_bytes(data)
                with path.open("rb") as file:
                    archive.addfile(one, file)
