"""A database that cannot be written, for a while or for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.config import Settings
from bot.sandbox import Sandbox
from tests.bot.conftest import locked, replies_to, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


async def test_a_database_that_cannot_be_written_for_a_while_delays_the_answer_and_nothing_else(
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("bot.feedback.sqlite.WAIT", 1)
    monkeypatch.setattr("bot.captioning.patience.STORE_PAUSES", (0.01,) * 10_000)
    async with working(settings(), sandbox) as app:
        gate = sandbox.hold("download")
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: gate.arrived)

        async def refused() -> bool:
            return "database is locked" in caplog.text

        with locked(tmp_path):
            gate.release()
            await until(refused)
        assert (await reply_to(sandbox, photo))["text"].startswith("400 x")
        await until(lambda: settled(app))
        assert len(sandbox.messages(by_bot=True)) == 1


async def test_a_database_that_stays_broken_is_said_and_the_next_start_answers(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.feedback.sqlite.WAIT", 1)
    monkeypatch.setattr("bot.captioning.patience.STORE_PAUSES", (0.01,))
    async with working(settings(), sandbox):
        gate = sandbox.hold("download")
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: gate.arrived)
        with locked(tmp_path):
            gate.release()
            assert "у меня неполадка" in (await reply_to(sandbox, photo))["text"]
    async with working(settings(), sandbox) as app:
        await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == 2)
        assert replies_to(sandbox, photo)[1]["text"].startswith("400 x")
        await until(lambda: settled(app))
