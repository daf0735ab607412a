"""What the probes say, over HTTP: of a bot that works, that cannot, and whose loop stands still."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from bot.config import Settings
from bot.operating.probes import Pulse, probes
from bot.sandbox import Sandbox
from tests.bot.conftest import until, working
from tests.bot.operating.conftest import scrape, value


async def ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.json()


def ask_blocking(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Ask in the bot's own event loop, which stands still until the answer is there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def test_a_bot_without_its_engine_is_alive_and_not_ready(
    settings: Callable[..., Settings], sandbox: Sandbox, unused_tcp_port: int
) -> None:
    async with working(settings(health_port=unused_tcp_port), sandbox) as app:

        async def ready() -> bool:
            return (await ask(unused_tcp_port, "/readyz"))[0] == 200

        await until(ready)
        _, told = await ask(unused_tcp_port, "/readyz")
        assert told["status"] == "ready"
        assert told["polling"] and told["engine"] and told["database"]
        await app.engine.stop()

        async def not_ready() -> bool:
            return not await ready()

        await until(not_ready)
        _, told = await ask(unused_tcp_port, "/readyz")
        assert told["status"] == "not ready"
        assert told["database"] and not told["engine"]
        assert (await ask(unused_tcp_port, "/healthz"))[0] == 200
        assert value(await scrape(unused_tcp_port), "meme_bot_loop_lag_seconds_count")


async def test_a_loop_that_stands_still_is_told_by_another_thread(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.operating.probes.READY_WITHIN", 0.5)
    monkeypatch.setattr("bot.operating.probes.ALIVE_WITHIN", 1.0)
    late: list[float] = []
    pulse = Pulse(lambda: (True, {"database": True}), late.append)
    async with probes("127.0.0.1", unused_tcp_port, pulse, CollectorRegistry()):

        async def beaten() -> bool:
            return len(late) > 1

        await until(beaten)
        # From here to the end nothing else runs in this loop.
        assert ask_blocking(unused_tcp_port, "/healthz")[0] == 200
        began = time.monotonic()
        while ask_blocking(unused_tcp_port, "/healthz")[0] == 200:
            assert time.monotonic() - began < 30
        status, told = ask_blocking(unused_tcp_port, "/healthz")
        assert (status, told["status"]) == (503, "standing still")
        assert told["seconds_since_last_note"] >= 1
        status, told = ask_blocking(unused_tcp_port, "/readyz")
        assert (status, told["late"], told["database"]) == (503, True, True)

        async def told_late() -> bool:
            return max(late) >= 0.7

        await until(told_late)
        assert (await ask(unused_tcp_port, "/healthz"))[0] == 200


async def test_a_port_that_is_taken_is_an_error_of_one_sentence(unused_tcp_port: int) -> None:
    pulse = Pulse(lambda: (True, {}), lambda _: None)
    async with probes("127.0.0.1", unused_tcp_port, pulse, CollectorRegistry()):
        with pytest.raises(OSError, match="choose another HEALTH_PORT"):
            async with probes("127.0.0.1", unused_tcp_port, pulse, CollectorRegistry()):
                pass
