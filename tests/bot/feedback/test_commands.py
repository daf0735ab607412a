"""What the operator's commands print."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from bot.feedback.commands import run_erase, run_export, run_stats
from bot.feedback.database import StoreError
from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat, meme


@pytest.fixture
async def filled(url: str, data_dir: Path) -> str:
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna, boris = await chat.person(1), await chat.person(2, consent=False)
        row = await chat.answer(anna, meme())
        await store.marks.rate(anna.id, row.id, 5)
        await store.marks.rate(boris.id, row.id, 2)
        await store.marks.correct(boris.id, row.id, "Кот спит")
    return url


async def test_stats(filled: str, data_dir: Path) -> None:
    text = await asyncio.to_thread(run_stats, filled, data_dir)
    assert "People: 2 (active: 2, let pictures be kept: 1)" in text
    assert "Requests: 1 answered, 0 refused or failed, 0 not finished" in text
    assert "meme-small, checkpoint cccccccccccc\nCaptions: 1; corrections: 1;" in text
    assert "Marks: 2, by people: 2; mean 3.50 out of 5" in text
    assert "by mark: 1 – 0, 2 – 1," in text


async def test_export(filled: str, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = await asyncio.to_thread(run_export, filled, data_dir, out, since="2020-01-01", min_rating=1)
    assert "2 rows, 1 pictures (imagefolder)" in text
    assert len((out / "metadata.jsonl").read_text().splitlines()) == 2


async def test_erase(filled: str, data_dir: Path, tmp_path: Path) -> None:
    text = await asyncio.to_thread(run_erase, filled, data_dir, 1)
    assert "Erased: 1 pictures (1 kept files), 1 captions, 2 marks, 1 corrections, 1 jobs" in text
    assert "Nothing to export" in await asyncio.to_thread(run_export, filled, data_dir, tmp_path / "out")
    with pytest.raises(StoreError, match="check the id"):
        await asyncio.to_thread(run_erase, filled, data_dir, 1)


async def test_a_mistyped_path_is_not_an_empty_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check DATABASE_URL"):
        await asyncio.to_thread(run_stats, f"sqlite:///{tmp_path}/typo.db", tmp_path)
    assert not (tmp_path / "typo.db").exists()


async def test_a_damaged_database_is_one_sentence(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "bot.db"
    url = f"sqlite+aiosqlite:///{path}"
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna = await chat.person(1)
        await store.marks.rate(anna.id, (await chat.answer(anna, meme())).id, 5)
    with closing(sqlite3.connect(path)) as connection:
        pages = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name IN ('ratings', 'totals')"
        ).fetchall()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:  # all that tells of the marks
        for (page,) in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)
    for command in (
        partial(run_export, url, data_dir, tmp_path / "out"),
        partial(run_stats, url, data_dir),
        partial(run_erase, url, data_dir, 1),
    ):
        with pytest.raises(StoreError, match="malformed"):
            await asyncio.to_thread(command)
