"""A limit on how fast one person may write and press."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiogram import BaseMiddleware, Bot
from aiogram.exceptions import AiogramError
from aiogram.types import CallbackQuery, Message, TelegramObject

from bot.messages import outbox
from bot.messages.pace import Pacer
from bot.messages.senders import author
from bot.messages.targets import Found, find
from bot.texts import Language, choose_language, sentences, texts


class ThrottleMiddleware(BaseMiddleware):
    """A bucket of ``burst`` tokens a person, refilled at ``rate`` a second; empty: nothing is handled.

    The person is told once, until the bucket is half full again. Pictures pass: they wait in a queue with a
    limit of its own, and an album or a handful of forwarded posts must not be lost. In a chat that Telegram
    lets be answered only much later, nothing but pictures is handled.
    """

    def __init__(
        self,
        default_language: Language,
        pacer: Pacer,
        *,
        rate: float = 2.0,
        burst: int = 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default_language = default_language
        self._pacer = pacer
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}  # person -> tokens, when counted
        self._told: set[int] = set()

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        sender = author(event) if isinstance(event, Message | CallbackQuery) else None
        picture = isinstance(event, Message) and isinstance(find(event), Found)
        if sender is None or picture:
            return await handler(event, data)
        if isinstance(event, Message) and self._pacer.is_crowded(event.chat.id):
            return None  # to say so would only be one thing more that waits
        if self._take(sender.telegram_id):
            return await handler(event, data)
        sentence = texts(choose_language(sender.language_code, self._default_language))(sentences.TOO_FAST)
        try:
            if isinstance(event, CallbackQuery):  # each press spins until it is answered
                await event.answer(sentence)
            elif isinstance(event, Message) and sender.telegram_id not in self._told:
                self._told.add(sender.telegram_id)
                bot = cast("Bot", event.bot)
                await outbox.send(bot, outbox.place_of(event), sentence, reply_to=event.message_id)
        except AiogramError:
            pass  # telling is a courtesy
        return None

    def _take(self, person: int) -> bool:
        now = self._clock()
        if len(self._buckets) > 10_000:
            self._forget_full(now)
        tokens, counted = self._buckets.get(person, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - counted) * self._rate)
        if tokens < 1:
            self._buckets[person] = (tokens, now)
            return False
        self._buckets[person] = (tokens - 1, now)
        if tokens > self._burst / 2:
            self._told.discard(person)
        return True

    def _forget_full(self, now: float) -> None:
        full_after = self._burst / self._rate
        self._buckets = {
            person: bucket for person, bucket in self._buckets.items() if now - bucket[1] < full_after
        }
        self._told &= self._buckets.keys()
