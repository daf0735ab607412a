"""The "typing" shown in a chat while its pictures are described."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramRetryAfter

from bot.common.nursery import Nursery
from bot.feedback.tables import Place
from bot.messages import outbox

logger = logging.getLogger(__name__)

PERIOD = 4.5  # seconds; Telegram shows one notice for five


class TypingNotice:
    """One notice a place, however many pictures are in work there. A 429 delays it and never ends it."""

    def __init__(self, bot: Bot, nursery: Nursery) -> None:
        self._bot = bot
        self._nursery = nursery
        self._users: Counter[Place] = Counter()
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def show(self, place: Place) -> AsyncIterator[None]:
        """Shown while the block runs."""
        self._users[place] += 1
        if place not in self._tasks:
            self._tasks[place] = self._nursery.start(self._repeat(place), name=f"typing in {place.chat_id}")
        try:
            yield
        finally:
            self._users[place] -= 1
            if not self._users[place]:
                del self._users[place]
                task = self._tasks.pop(place)
                task.cancel()

    async def _repeat(self, place: Place) -> None:
        while True:
            pause = PERIOD
            try:
                await outbox.show_typing(self._bot, place)
            except TelegramRetryAfter as error:
                pause = max(PERIOD, error.retry_after)
            except AiogramError as error:
                logger.debug("No typing notice in %s: %s", place.chat_id, error)
            await asyncio.sleep(pause)
