"""Retries with caps, counting, and the limit on how fast one person may write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter, TelegramServerError
from aiogram.types import Message, User
from prometheus_client import CollectorRegistry

from bot.common.nursery import Nursery
from bot.messages.pace import Pacer
from bot.middlewares.requests import MetricsMiddleware, PaceMiddleware, RetryMiddleware, single_attempt
from bot.middlewares.throttle import ThrottleMiddleware
from bot.operating.metrics import Metrics
from bot.sandbox import ME, Sandbox
from tests.bot.conftest import NO_LIMITS


@pytest.fixture
async def bot(sandbox: Sandbox) -> Any:
    """A client of the stand-in with retries, and its counters."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(sandbox.url))
    metrics = Metrics()
    session.middleware(RetryMiddleware(metrics.repeating, tries=3, first_pause=0.01))
    session.middleware(PaceMiddleware(Pacer(NO_LIMITS, waited=metrics.paced)))
    session.middleware(MetricsMiddleware(metrics.requested))
    made = Bot(sandbox.token, session=session)
    yield made, metrics.registry
    await session.close()


def requests(registry: CollectorRegistry, method: str, outcome: str) -> float | None:
    """How many tries ended so."""
    return registry.get_sample_value("meme_bot_api_requests_total", {"method": method, "outcome": outcome})


def repeated(registry: CollectorRegistry, cause: str) -> float | None:
    """How many messages were sent again."""
    return registry.get_sample_value("meme_bot_api_retries_total", {"method": "sendMessage", "cause": cause})


async def test_a_limit_is_waited_for_as_long_as_it_asks(bot: Any, sandbox: Sandbox) -> None:
    client, registry = bot
    sandbox.fail("sendMessage", "flood", retry_after=1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.send_message(ME, "привет")
    assert loop.time() - began >= 1
    assert requests(registry, "sendMessage", "TelegramRetryAfter") == 1
    assert requests(registry, "sendMessage", "ok") == 1
    assert repeated(registry, "limit") == 1
    assert (registry.get_sample_value("meme_bot_api_wait_seconds_sum") or 0) >= 1


async def test_waits_and_tries_are_capped(bot: Any, sandbox: Sandbox) -> None:
    client, registry = bot
    sandbox.user(7)
    sandbox.fail("sendMessage", "flood", retry_after=61, only="7")
    for _ in range(2):  # the second time nobody is asked
        with pytest.raises(TelegramRetryAfter):
            await client.send_message(7, "привет")
    assert requests(registry, "sendMessage", "TelegramRetryAfter") == 1
    sandbox.fail("sendMessage", "server_error", times=3)
    with pytest.raises(TelegramServerError):
        await client.send_message(ME, "привет")
    assert requests(registry, "sendMessage", "TelegramServerError") == 3
    assert repeated(registry, "failure") == 2
    await client.send_message(ME, "привет")


async def test_what_loses_its_worth_by_waiting_is_not_repeated_after_a_limit(
    bot: Any, sandbox: Sandbox
) -> None:
    client, registry = bot
    sandbox.fail("sendChatAction", "flood", retry_after=1)
    with pytest.raises(TelegramRetryAfter):
        await client.send_chat_action(ME, "typing")
    sandbox.fail("getMe", "server_error")
    with single_attempt(), pytest.raises(TelegramServerError):
        await client.get_me()
    assert requests(registry, "sendChatAction", "TelegramRetryAfter") == 1
    assert requests(registry, "getMe", "TelegramServerError") == 1


async def test_a_broken_connection_is_tried_again(bot: Any, sandbox: Sandbox) -> None:
    client, _ = bot
    sandbox.fail("getMe", "reset", times=2)
    assert (await client.get_me()).id == client.id


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_bucket_empties_and_fills(bot: Any, sandbox: Sandbox) -> None:
    client, _ = bot
    clock = Clock()
    throttle = ThrottleMiddleware("ru", Pacer(), rate=1, burst=3, clock=clock)
    handled = []

    async def handler(event: Any, data: dict[str, Any]) -> None:
        handled.append(event)

    sender = User(id=ME, is_bot=False, first_name="Анна", language_code="ru")
    said = await sandbox.send_text("привет")
    message = Message.model_validate(said, context={"bot": client})

    async def write(count: int) -> None:
        for _ in range(count):
            await throttle(handler, message, {"event_from_user": sender})

    await write(10)
    assert len(handled) == 3
    assert [one["text"][:30] for one in sandbox.messages(by_bot=True)] == ["Для меня это слишком много соо"]
    clock.now = 1
    await write(2)
    assert len(handled) == 4
    clock.now = 100
    await write(10)
    assert len(handled) == 7
    assert len(sandbox.messages(by_bot=True)) == 2  # told again, once


async def test_a_nursery_waits_then_cancels_and_tells_what_failed(caplog: pytest.LogCaptureFixture) -> None:
    nursery = Nursery()
    done = asyncio.Event()

    async def quick() -> None:
        done.set()

    async def broken() -> None:
        raise RuntimeError("no luck")

    nursery.start(quick(), name="quick")
    nursery.start(broken(), name="the broken one")
    stuck = nursery.start(asyncio.Event().wait(), name="stuck")
    assert await nursery.drain(0.05) == 1
    assert done.is_set()
    assert stuck.cancelled()
    assert len(nursery) == 0
    assert "the broken one failed" in caplog.text
    assert "no luck" in caplog.text
