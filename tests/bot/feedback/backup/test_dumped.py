"""A store put back by the database's own means, as docs/operating.md says, and made fit by `restored`."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path

from bot.feedback import database
from bot.feedback.backup.commands import run_restored
from bot.feedback.export import export
from bot.feedback.store import Store
from bot.feedback.tables import now
from tests.bot.conftest import empty, unfinished
from tests.bot.feedback.conftest import Chat, kept, meme


async def run(*command: str) -> None:
    """One of PostgreSQL's programs."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def dump(url: str, data_dir: Path, to: Path) -> None:
    """The database first, then the pictures. No bot works with SQLite's file meanwhile."""
    if (file := database.sqlite_file(database.database_url(url))) is not None:
        await asyncio.to_thread(shutil.copy, file, to / "bot.dump")
    else:
        address = url.replace("+asyncpg", "")
        await run("pg_dump", "--format=custom", f"--file={to / 'bot.dump'}", address)
    await asyncio.to_thread(shutil.copytree, data_dir / "pictures", to / "pictures")


async def put_back(url: str, data_dir: Path, dumped: Path) -> None:
    """Into an empty database, and an empty folder."""
    if (file := database.sqlite_file(database.database_url(url))) is not None:
        for suffix in ("", *database.BESIDE):
            file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
        await asyncio.to_thread(shutil.copy, dumped / "bot.dump", file)
    else:
        await empty(url)
        address = url.replace("+asyncpg", "")
        await run(
            "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={address}", str(dumped / "bot.dump")
        )
    await asyncio.to_thread(shutil.rmtree, data_dir / "pictures")
    await asyncio.to_thread(shutil.copytree, dumped / "pictures", data_dir / "pictures")


async def test_nothing_is_answered_anew_and_what_was_erased_since_is_erased_again(
    url: str, data_dir: Path, tmp_path: Path
) -> None:
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna, boris, olga = [await chat.person(number) for number in (1, 2, 3)]
        rows = [await chat.answer(one, meme(f"КОТ {one.id}")) for one in (anna, boris, olga)]
        for number, row in enumerate(rows, start=1):
            await store.marks.rate(olga.id, row.id, number)
        await chat.job(olga, "unique-open")
        await store.muted.add(-100)
    await dump(url, data_dir, tmp_path)
    async with await Store.open(url, data_dir) as store:
        chat.store = store
        await store.erasure.erase(anna.id)
        await store.people.set_consent(boris.id, False)
        newest = await chat.answer(olga, meme("НОВАЯ"))
        await store.people.meet(4, language="ru")
        await export(store, tmp_path / "export")
    await put_back(url, data_dir, tmp_path)
    stray = data_dir / "pictures" / "ab" / ("ab" * 32 + ".jpg")
    await asyncio.to_thread(stray.parent.mkdir, exist_ok=True)
    await asyncio.to_thread(stray.write_bytes, b"kept after the dump")
    told = await asyncio.to_thread(
        partial(run_restored, url, data_dir, erased=tmp_path / "export" / "erased.jsonl")
    )
    assert "1 pictures were not answered yet" in told
    assert "again now: 1 people, 1 pictures" in told and "1 kept pictures that no row names" in told
    async with await Store.open(url, data_dir) as store:
        chat.store = store
        assert await store.people.find(1) is None and await store.people.find(4) is None
        assert len(kept(data_dir)) == 1 and not stray.exists()
        (job,) = await unfinished(store)
        assert job.sending_at is not None and job.sending_at <= now()
        assert await store.muted.all() == [-100]
        # No number of the time between is given again, and what is counted is counted on.
        again = await chat.answer(olga, meme("ДРУГАЯ"))
        assert again.id > newest.id and (await store.people.meet(4, language="ru")).id > 10_000_000
        (model,) = (await store.reports.stats()).models
        assert model.ratings == 2
        await store.marks.rate(olga.id, again.id, 5)
        (model,) = (await store.reports.stats()).models
        assert (model.captions, model.ratings) == (3, 3)
