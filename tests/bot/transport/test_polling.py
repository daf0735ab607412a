"""What is confirmed to Telegram does not come again: it is done, or written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.config import Settings
from bot.sandbox import Sandbox
from tests.bot.conftest import locked, replies_to, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.transport.polling.CONFIRM_AFTER", 0.05)


async def test_while_nothing_can_be_written_no_picture_is_confirmed(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def told() -> bool:
        return "is not confirmed" in caplog.text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bot.feedback.sqlite.WAIT", 1)
        patch.setattr("bot.feedback.waiting.STORE_PAUSES", (0.01,))
        # What waits for the lock is cut off, as by a kill.
        async with working(settings(drain_seconds=0), sandbox):
            pictures = []
            async with locked(tmp_path):
                pictures = [await sandbox.send_photo(MEME) for _ in range(5)]
                await until(told)
                assert len(sandbox.world.updates) == 5
    async with working(settings(), sandbox) as app:
        for picture in pictures:
            assert (await reply_to(sandbox, picture))["text"].startswith("400 x")
        await until(lambda: settled(app))
        assert all(len(replies_to(sandbox, picture)) == 1 for picture in pictures)


async def test_what_takes_long_is_confirmed_and_done_by_the_next_process(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    sandbox.fail("sendMessage", "flood", retry_after=30)
    async with working(settings(drain_seconds=0), sandbox):
        await sandbox.send_text("/help")
        await sandbox.wait_for(lambda: sandbox.calls_of("sendMessage") and not sandbox.world.updates)
    assert not sandbox.messages(by_bot=True)
    async with working(settings(), sandbox) as app:
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))

        async def forgotten() -> bool:
            return not await app.store.updates.take_over(silent_for=0)

        await until(forgotten)
        assert len(sandbox.messages(by_bot=True)) == 1
