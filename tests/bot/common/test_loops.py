"""The event loop of the bot."""

from __future__ import annotations

import asyncio

import uvloop

from bot.common.loops import new_event_loop


def test_the_bot_runs_on_uvloop() -> None:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert isinstance(runner.run(running()), uvloop.Loop)
