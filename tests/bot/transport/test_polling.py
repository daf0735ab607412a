"""What is confirmed to Telegram does not come again: it is done, or written down."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bot.config import Settings
from bot.sandbox import Sandbox
from bot.sandbox.faults import FaultKind
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


@pytest.mark.parametrize("faults", [("bad_gateway", "reset"), ("conflict",), ("conflict", "conflict")])
async def test_a_poll_that_failed_is_told_until_the_next_is_answered_which_is_at_once(
    settings: Callable[..., Settings], sandbox: Sandbox, faults: tuple[FaultKind, ...]
) -> None:
    """Nobody writes anything, so that a long poll would be answered after half a minute."""
    async with working(settings(), sandbox) as app:
        for fault in faults:
            sandbox.fail("getUpdates", fault)
        await reply_to(sandbox, await sandbox.send_text("привет"))  # the poll that was open ends

        async def troubled() -> bool:
            return app.poller.trouble is not None

        async def ready() -> bool:
            return app.readiness()[0]

        await until(troubled)
        assert not app.readiness()[1]["polling"] and not await ready()
        await until(ready)
        await sandbox.wait_for(lambda: sandbox.calls_of("getUpdates")[-1].status is None)
        *polls, answered, waiting = sandbox.calls_of("getUpdates")
        failed = polls[-len(faults) :]
        assert all(poll.status != 200 for poll in failed)
        assert [int(poll.params["timeout"]) for poll in (*failed[1:], answered)] == [0] * len(faults)
        assert answered.status == 200
        assert int(waiting.params["timeout"]) > 20


async def test_a_conflict_that_comes_back_is_over_when_a_whole_poll_met_nobody(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    """The poll that was answered at once had come between two of another process."""
    async with working(settings(), sandbox) as app:

        def refused(times: int) -> bool:
            """So many polls were, and a whole one is open."""
            polls = sandbox.calls_of("getUpdates")
            whole = int(polls[-1].params["timeout"]) > 20
            return [poll.status for poll in polls].count(409) == times and polls[-1].status is None and whole

        for times in (1, 2):
            sandbox.fail("getUpdates", "conflict")
            await reply_to(sandbox, await sandbox.send_text("привет"))
            await sandbox.wait_for(partial(refused, times))
            assert app.readiness()[1]["polling"] is (times == 1)
        assert sandbox.calls_of("getUpdates")[-2].status == 409, "the next one is a whole one at once"
        await reply_to(sandbox, await sandbox.send_text("привет"))
        assert app.readiness()[1]["polling"]
