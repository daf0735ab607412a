"""The bot under Telegram's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from bot.config import Settings
from bot.messages.pace import Limit, Limits
from bot.sandbox import Sandbox
from bot.sandbox.faults import Call
from bot.sandbox.limits import RateLimits
from bot.sandbox.scene import GROUP
from tests.bot.conftest import replies_to, reply_to, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import PLAIN, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
CLOSED = 40.0  # seconds
COMMANDS = 230  # more than there are places for handlers


async def test_a_group_that_is_limited_holds_up_nobody_else(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    loop = asyncio.get_running_loop()
    sandbox.limits = RateLimits(burst=1000, all_per_second=1000)
    async with working(settings(drain_seconds=0), sandbox):
        until = sandbox.limits.closed[GROUP] = loop.time() + CLOSED
        await sandbox.send_text("/help@meme_describer_bot", chat=GROUP, user=100)
        await sandbox.wait_for(lambda: refusals(sandbox))
        await sandbox.send_text("/help", user=8)  # the answer to which comes behind the refusal
        await sandbox.wait_for(lambda: sandbox.messages(8, by_bot=True))
        for number in range(COMMANDS):
            await sandbox.send_text("/help@meme_describer_bot", chat=GROUP, user=100 + number % 23)
        # Of those who wait themselves a picture is answered elsewhere, too.
        photo = await sandbox.send_photo(MEME, user=100)
        await sandbox.send_text("/help", user=7)
        assert (await reply_to(sandbox, photo))["text"].startswith("400 x")
        await sandbox.wait_for(lambda: sandbox.messages(7, by_bot=True))
        await sandbox.wait_for(lambda: not sandbox.world.updates)  # none of the commands holds back one
        assert not sandbox.messages(GROUP, by_bot=True)
        assert loop.time() < until, "that was not while the group was limited"
        assert len(refusals(sandbox)) == 1, "the others do not ask in vain"


def refusals(sandbox: Sandbox) -> list[Call]:
    """What Telegram wants to hear later."""
    return [call for call in sandbox.calls if call.status == 429]


async def test_a_limit_is_kept_to_before_it_is_met(
    settings: Callable[..., Settings], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.messages.pace.LIMITS", Limits())
    sandbox.limits = RateLimits()
    async with working(settings(), sandbox):
        sent = [
            await sandbox.send_photo(picture(PLAIN, (40 + number, 30)), user=100 + number % 3)
            for number in range(15)
        ]
        await sandbox.wait_for(lambda: all(replies_to(sandbox, one) for one in sent))
    assert refusals(sandbox) == []


async def test_of_marks_that_wait_the_last_one_is_shown(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    """In a group that Telegram limits for a moment many people mark the same description."""
    loop = asyncio.get_running_loop()
    sandbox.limits = RateLimits(burst=1000, group_per_minute=1000, all_per_second=1000)
    async with working(settings(), sandbox):
        photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
        answer = await reply_to(sandbox, photo)
        mark = next(
            button["callback_data"]
            for row in answer["reply_markup"]["inline_keyboard"]
            for button in row
            if button["text"].startswith("5")
        )
        sandbox.limits.closed[GROUP] = loop.time() + 2
        presses = [sandbox.press(answer["message_id"], mark, user=200 + n, chat=GROUP) for n in range(12)]
        await sandbox.wait_for(lambda: all(press.answer for press in presses))
        await sandbox.wait_for(lambda: "12" in answer["text"])
    edits = sandbox.calls_of("editMessageText")
    assert len([call for call in edits if call.status == 200]) <= 2


async def test_one_of_several_bots_keeps_to_its_share(
    settings: Callable[..., Settings], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = Limit(1000, 0.1)
    monkeypatch.setattr("bot.messages.pace.LIMITS", Limits(free, free, free, all=Limit(4, 1.0)))
    async with working(settings(bot_replicas=4), sandbox):
        for person in range(100, 105):
            await sandbox.send_text("/help", user=person)
        await sandbox.wait_for(lambda: all(sandbox.messages(n, by_bot=True) for n in range(100, 105)))
    moments = [call.at for call in sandbox.calls_of("sendMessage")]
    # It may one of the four; a little less than a second, since a request is not made at once.
    assert all(later - earlier > 0.8 for earlier, later in pairwise(moments))
