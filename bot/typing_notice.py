"""The "typing" shown in a chat while its pictures are described."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramRetryAfter

from bot.nursery import Nursery

logger = logging.getLogger(__name__)

PERIOD = 4.5  # seconds; Telegram shows one notice for five


class TypingNotice:
    """One notice a chat, however many pictures are in work there. A 429 delays it and never ends it."""

    def __init__(self, bot: Bot, nursery: Nursery) -> None:
        self._bot = bot
        self._nursery = nursery
        self._users: Counter[int] = Counter()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def show(self, chat_id: int) -> AsyncIterator[None]:
        """Shown while the block runs."""
        self._users[chat_id] += 1
        if chat_id not in self._tasks:
            self._tasks[chat_id] = self._nursery.start(self._repeat(chat_id), name=f"typing in {chat_id}")
        try:
            yield
        finally:
            self._users[chat_id] -= 1
            if not self._users[chat_id]:
                del self._users[chat_id]
                task = self._tasks.pop(chat_id)
                task.cancel()

    async def _repeat(self, chat_id: int) -> None:
        while True:
            pause = PERIOD
            try:
                await self._bot.send_chat_action(chat_id, "typing")
            except TelegramRetryAfter as error:
                pause = max(PERIOD, error.retry_after)
            except AiogramError as error:
                logger.debug("No typing notice in %s: %s", chat_id, error)
            await asyncio.sleep(pause)
