"""What every Bot API request passes: migration of chats, retries with caps, counting."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramMigrateToChat, TelegramRetryAfter
from aiogram.methods import AnswerCallbackQuery, GetUpdates, Response, SendChatAction, TelegramMethod

from bot.messages.failures import TRANSIENT

logger = logging.getLogger(__name__)

_single_attempt: ContextVar[bool] = ContextVar("single_attempt", default=False)


@contextmanager
def single_attempt() -> Iterator[None]:
    """Requests made inside are tried once: the caller repeats them itself."""
    token = _single_attempt.set(True)
    try:
        yield
    finally:
        _single_attempt.reset(token)


class RetryMiddleware(BaseRequestMiddleware):
    """Repeats requests that met a rate limit (429) or a passing failure.

    At most ``tries`` attempts; a ``retry_after`` above ``longest_wait`` seconds is not waited for. A late
    typing notice is worthless and a callback's answer expires: neither waits out a 429. Polling has its own
    loop. A request whose outcome is unknown is repeated too: a message twice is better than none.
    """

    def __init__(self, *, tries: int = 4, longest_wait: float = 60.0, first_pause: float = 0.5) -> None:
        self._tries = tries
        self._longest_wait = longest_wait
        self._first_pause = first_pause

    async def __call__(
        self, make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        if isinstance(method, GetUpdates) or _single_attempt.get():
            return await make_request(bot, method)
        waits_for_limits = not isinstance(method, SendChatAction | AnswerCallbackQuery)
        tries = self._tries if waits_for_limits else 2
        for attempt in range(1, tries + 1):
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                if attempt == tries or not waits_for_limits or error.retry_after > self._longest_wait:
                    raise
                pause = float(error.retry_after)
            except TRANSIENT:
                if attempt == tries or isinstance(method, SendChatAction):
                    raise
                pause = self._first_pause * 2 ** (attempt - 1)
            logger.info("%s is tried again in %.1f s", method.__api_method__, pause)
            await asyncio.sleep(pause)
        raise AssertionError("every attempt returns or raises")


class MigrationMiddleware(BaseRequestMiddleware):
    """Follows groups that became supergroups: requests for the old id go to the new one."""

    def __init__(self) -> None:
        self._moved: dict[int | str, int] = {}

    def moved(self, old: int, new: int) -> None:
        """Remember that the chat ``old`` is now ``new``."""
        self._moved[old] = new

    async def __call__(
        self, make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        chat_id = getattr(method, "chat_id", None)
        if chat_id in self._moved:
            method = method.model_copy(update={"chat_id": self._moved[chat_id]})
        try:
            return await make_request(bot, method)
        except TelegramMigrateToChat as error:
            if chat_id is None:
                raise
            logger.info("Chat %s is now %s", chat_id, error.migrate_to_chat_id)
            self._moved[chat_id] = error.migrate_to_chat_id
            return await make_request(bot, method.model_copy(update={"chat_id": error.migrate_to_chat_id}))


class MetricsMiddleware(BaseRequestMiddleware):
    """Counts every attempt by method and outcome ("ok" or the error's class)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    async def __call__(
        self, make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        outcome = "ok"
        try:
            return await make_request(bot, method)
        except (TelegramAPIError, ClientDecodeError) as error:
            outcome = type(error).__name__
            raise
        finally:
            self.counts[method.__api_method__, outcome] += 1

    def as_dict(self) -> dict[str, dict[str, int]]:
        """JSON-able: method -> outcome -> attempts."""
        table: dict[str, dict[str, int]] = {}
        for (method, outcome), count in sorted(self.counts.items()):
            table.setdefault(method, {})[outcome] = count
        return table
