"""A running bot deletes what is too old, and its exports and /privacy keep to that."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bot.config import Settings
from bot.feedback.commands import run_export
from bot.feedback.retention import Keep
from bot.sandbox import Sandbox
from tests.bot.conftest import data_of, reply_to, until, working
from tests.inference.fakes import picture


def query(folder: Path, statement: str) -> list[tuple[object, ...]]:
    """What a statement returns; what it changes is changed."""
    with closing(sqlite3.connect(folder / "bot.db")) as database, database:
        return database.execute(statement).fetchall()


async def test_a_running_bot_deletes_what_is_too_old(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with working(settings(), sandbox):
        page = await reply_to(sandbox, await sandbox.send_text("/privacy"))
        assert "удаляются" not in page["text"]
        sandbox.press(page["message_id"], data_of(page, "p:"))
        await sandbox.wait_for(lambda: "Сейчас: вы разрешаете" in sandbox.messages()[-1]["text"])
        for number in (1, 2):
            answer = await reply_to(
                sandbox, await sandbox.send_document(picture(size=(40 + number, 30)), "a.png")
            )
            sandbox.press(answer["message_id"], data_of(answer, "r:"))
            await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])
    for table in ("captions", "jobs", "pictures"):
        query(tmp_path, f"UPDATE {table} SET created_at = datetime('now', '-8 days') WHERE id = 1")
    query(tmp_path, "UPDATE pictures SET kept_at = datetime('now', '-8 days') WHERE id = 1")
    chosen = settings(keep_pictures_days=7, keep_texts_days=7)
    async with working(chosen, sandbox):

        async def gone() -> bool:
            return query(tmp_path, "SELECT id FROM pictures") == [(2,)]

        await until(gone)
        assert len(list((tmp_path / "data" / "pictures").rglob("*.png"))) == 1
        text = (await reply_to(sandbox, await sandbox.send_text("/privacy")))["text"]
        assert "Сохранённые картинки удаляются через 7 дней. Мои описания и ответы, ваши оценки" in text
    query(tmp_path, "UPDATE captions SET created_at = datetime('now', '-9 days')")
    out, keep = tmp_path / "out", Keep(7, 7)
    told = await asyncio.to_thread(run_export, chosen.database_url, chosen.data_dir, out, keep=keep)
    assert "Nothing to export" in told
    assert len((out / "erased.jsonl").read_text().splitlines()) == 1 + 2
