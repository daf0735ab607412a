"""What every Bot API request passes: migration of chats, retries with caps, the pace, and who counts."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import TelegramMigrateToChat, TelegramRetryAfter
from aiogram.methods import (
    AnswerCallbackQuery,
    DeleteBusinessMessages,
    DeleteMessage,
    DeleteMessages,
    GetUpdates,
    Response,
    SendChatAction,
    TelegramMethod,
)

from bot.messages.failures import TRANSIENT, LeftOut
from bot.messages.pace import LONGEST_WAIT, ChatId, LineClosed, Pacer

logger = logging.getLogger(__name__)

_single_attempt: ContextVar[bool] = ContextVar("single_attempt", default=False)
_spare: ContextVar[bool] = ContextVar("spare", default=False)


@contextmanager
def single_attempt() -> Iterator[None]:
    """Requests made inside are tried once: the caller repeats them itself."""
    token = _single_attempt.set(True)
    try:
        yield
    finally:
        _single_attempt.reset(token)


@contextmanager
def worth_little() -> Iterator[None]:
    """Requests made inside are sent where the chat has room to spare, else LeftOut is raised."""
    token = _spare.set(True)
    try:
        yield
    finally:
        _spare.reset(token)


class RetryMiddleware(BaseRequestMiddleware):
    """Repeats requests that met a rate limit (429) or a passing failure, at most ``tries`` attempts.

    Limits are waited for by PaceMiddleware, which stands below. A late typing notice is worthless and a
    callback's answer expires: neither waits out a 429. Polling has its own loop. A request whose outcome is
    unknown is repeated too: a message twice is better than none.

    ``repeating`` is told of each repetition: method, "limit" or "failure".
    """

    def __init__(
        self, repeating: Callable[[str, str], None], *, tries: int = 4, first_pause: float = 0.5
    ) -> None:
        self._repeating = repeating
        self._tries = tries
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
                if attempt == tries or not waits_for_limits or error.retry_after > LONGEST_WAIT:
                    raise
                pause, cause = 0.0, "limit"  # its line is closed for as long
            except TRANSIENT:
                if attempt == tries or isinstance(method, SendChatAction):
                    raise
                pause, cause = self._first_pause * 2 ** (attempt - 1), "failure"
            self._repeating(method.__api_method__, cause)
            logger.info("%s is tried again in %.1f s", method.__api_method__, pause)
            await asyncio.sleep(pause)
        raise AssertionError("every attempt returns or raises")


class PaceMiddleware(BaseRequestMiddleware):
    """Lets each request wait for its turn, and closes a chat's line for as long as Telegram refuses (429).

    A typing notice, and whatever else is worth little, is sent at once or not at all. Answers to presses have
    no limit. Raises LeftOut; TelegramRetryAfter, without asking, while the line is closed for longer than
    LONGEST_WAIT (for what is tried once: closed at all).
    """

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer

    async def __call__(
        self, make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        if isinstance(method, GetUpdates | AnswerCallbackQuery):
            return await make_request(bot, method)
        chat_id = _counted_for(method)
        spare = _spare.get() or isinstance(method, SendChatAction)
        try:
            if spare:
                if not self._pacer.take_spare(chat_id):
                    raise LeftOut(method, "there is no room to spare")
                return await make_request(bot, method)
            patience = 0.0 if _single_attempt.get() else LONGEST_WAIT
            async with self._pacer.turn(chat_id, patience=patience):
                return await make_request(bot, method)
        except LineClosed as closed:
            raise TelegramRetryAfter(method, str(closed), retry_after=math.ceil(closed.seconds)) from closed
        except TelegramRetryAfter as error:
            self._pacer.close(chat_id, error.retry_after, spare=spare)
            raise


def _counted_for(method: TelegramMethod[Any]) -> ChatId | None:
    """The chat whose limit the request uses up; None: no chat's."""
    if isinstance(method, DeleteMessage | DeleteMessages | DeleteBusinessMessages):
        return None
    chat_id: ChatId | None = getattr(method, "chat_id", None)
    return chat_id


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
    """Tells of every attempt: method, outcome ("ok", "cancelled", or the error's class), seconds."""

    def __init__(self, requested: Callable[[str, str, float], None]) -> None:
        self._requested = requested

    async def __call__(
        self, make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        outcome, began = "ok", time.perf_counter()
        try:
            return await make_request(bot, method)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._requested(method.__api_method__, outcome, time.perf_counter() - began)
