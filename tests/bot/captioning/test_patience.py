"""A database that cannot be used for a while: everything waits for it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from bot.app import App
from bot.config import Settings
from bot.sandbox import Sandbox
from tests.bot.conftest import Json, locked, replies_to, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
LATER = "Сделаю это позже"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.feedback.sqlite.WAIT", 1)
    monkeypatch.setattr("bot.feedback.waiting.STORE_PAUSES", (0.01,))
    monkeypatch.setattr("bot.app.OUTAGE_PERIOD", 0.01)


async def test_a_short_outage_delays_the_answer_and_nothing_else(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused() -> bool:
        return "database is locked" in caplog.text

    async with working(settings(), sandbox) as app:
        gate = sandbox.hold("download")
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: gate.arrived)
        async with locked(tmp_path):
            gate.release()
            await until(refused)
        assert (await reply_to(sandbox, photo))["text"].startswith("400 x")
        await until(lambda: settled(app))
        assert len(sandbox.messages(by_bot=True)) == 1


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_long_outage_is_told_once_and_everything_is_done_when_it_is_over(
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    tmp_path: Path,
    unused_tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    accepted: bool,
) -> None:
    monkeypatch.setattr("bot.feedback.waiting.TOLD_AFTER", 0.0)
    async with working(settings(health_port=unused_tcp_port), sandbox) as app:
        gate = sandbox.hold("download")
        photos = [await sandbox.send_photo(MEME) for _ in range(3)] if accepted else []
        if accepted:
            await sandbox.wait_for(lambda: gate.arrived)
        await until(lambda: is_healthy(app))
        async with locked(tmp_path):
            photos = photos or [await sandbox.send_photo(MEME) for _ in range(3)]
            gate.release()
            (told,) = await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))
            assert LATER in told["text"]
            await until(lambda: is_said_to_be_away(unused_tcp_port))
        for photo in photos:
            await sandbox.wait_for(partial(described, sandbox, photo))
        await until(lambda: settled(app))
        assert len(sandbox.messages(by_bot=True)) == 4
        await until(lambda: is_healthy(app))


def described(sandbox: Sandbox, photo: Json) -> bool:
    return [reply["text"][:5] for reply in replies_to(sandbox, photo)].count("400 x") == 1


async def is_said_to_be_away(port: int) -> bool:
    """Whether a probe is told that the database cannot be used."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/readyz") as answer,
    ):
        return answer.status == 503 and not (await answer.json())["database"]


async def is_healthy(app: App) -> bool:
    return app.readiness()[0]
