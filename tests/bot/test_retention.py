"""A running bot deletes what is too old, and its exports and /privacy keep to that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from bot.app import App
from bot.config import Settings
from bot.feedback.commands import run_export
from bot.feedback.retention import Keep
from bot.feedback.tables import CaptionRow, Job, Picture, now
from bot.sandbox import Sandbox
from tests.bot.conftest import data_of, reply_to, until, working
from tests.inference.fakes import picture


async def age(app: App, days: int, *tables: type[CaptionRow | Job | Picture], up_to: int) -> None:
    """The rows of these tables with these numbers were written, and pictures kept, so many days ago."""
    then = now() - timedelta(days=days)
    async with app.store.sessions.transaction() as session:
        for table in tables:
            await session.execute(update(table).where(table.id <= up_to).values(created_at=then))
        if Picture in tables:
            await session.execute(update(Picture).where(Picture.id <= up_to).values(kept_at=then))


async def test_a_running_bot_deletes_what_is_too_old(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with working(settings(), sandbox) as app:
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
        await age(app, 8, CaptionRow, Job, Picture, up_to=1)
    chosen = settings(keep_pictures_days=7, keep_texts_days=7)
    async with working(chosen, sandbox) as app:

        async def gone() -> bool:
            async with app.store.sessions.reading() as session:
                return (await session.scalars(select(Picture.id))).all() == [2]

        await until(gone)
        assert len(list((tmp_path / "data" / "pictures").rglob("*.png"))) == 1
        text = (await reply_to(sandbox, await sandbox.send_text("/privacy")))["text"]
        assert "Сохранённые картинки удаляются через 7 дней. Мои описания и ответы, ваши оценки" in text
        await age(app, 9, CaptionRow, up_to=2)
    out, keep = tmp_path / "out", Keep(7, 7)
    told = await asyncio.to_thread(run_export, chosen.database_url, chosen.data_dir, out, keep=keep)
    assert "Nothing to export" in told
    assert len((out / "erased.jsonl").read_text().splitlines()) == 1 + 2
