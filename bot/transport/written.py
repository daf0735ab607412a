"""Updates that are written down while they are in work: what a killed bot leaves is done by another one."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from aiogram import Bot
from aiogram.types import Update

from bot.feedback.updates import Updates
from bot.feedback.waiting import once_stored
from bot.transport.intake import Intake, read_update

logger = logging.getLogger(__name__)

REMEMBERED = 2 * 24 * 3600.0  # seconds; Telegram keeps an update for a day at most


class WrittenUpdates:
    """Those that this process works on."""

    def __init__(self, bot: Bot, updates: Updates, intake: Intake) -> None:
        self._bot = bot
        self._updates = updates
        self._intake = intake
        self._mine: set[int] = set()

    async def take(self, update_id: int, body: dict[str, Any]) -> bool:
        """Write an update down; False: it was before. Raises StoreError."""
        return await self._updates.take(update_id, body, _sender(body))

    async def begin(self, update_id: int, body: dict[str, Any]) -> None:
        """Handle one that is written down."""
        update = read_update(body, self._bot)
        if update is None:
            await self._done(update_id)
            return
        self._mine.add(update_id)
        self.ends_with((await self._intake.start(update)).task, update_id)

    async def keep(self, update: Update, task: asyncio.Task[None]) -> None:
        """Write down one that ``task`` handles already. Raises StoreError."""
        body = update.model_dump(mode="json", by_alias=True, exclude_unset=True)
        self._mine.add(update.update_id)
        if await self.take(update.update_id, body):
            self.ends_with(task, update.update_id)

    def ends_with(self, task: asyncio.Task[None], update_id: int) -> None:
        """Of what ``task`` handles only the number stays when that is done."""
        task.add_done_callback(lambda done: self._ended(update_id, done))

    def _ended(self, update_id: int, task: asyncio.Task[None]) -> None:
        self._mine.discard(update_id)
        if not task.cancelled():  # one that was cut off at the end comes to the next bot
            self._intake.handlers.start(self._done(update_id), name=f"end of update {update_id}")

    async def _done(self, update_id: int) -> None:
        await once_stored(partial(self._updates.done, update_id))

    async def take_over(self, *, silent_for: float = 0.0) -> set[int]:
        """Handle what was left and nobody spoke for in so many seconds; the numbers. Raises StoreError.

        What is in work here is spoken for.
        """
        await self._updates.hold(self._mine)
        left = await self._updates.take_over(silent_for=silent_for)
        for update_id, body in left.items():
            logger.info("Update %d is taken over", update_id)
            await self.begin(update_id, body)
        await self._updates.forget(after=REMEMBERED)
        return set(left)


def _sender(body: dict[str, Any]) -> int | None:
    """The Telegram id of whoever caused the update."""
    for content in body.values():
        if isinstance(content, dict) and isinstance(content.get("from"), dict):
            number = content["from"].get("id")
            return number if type(number) is int else None
    return None
