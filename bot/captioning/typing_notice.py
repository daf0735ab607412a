"""The "typing" shown in a chat while its pictures are in work."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiogram import Bot
from aiogram.exceptions import AiogramError

from bot.captioning.queue import Queue
from bot.common.nursery import Nursery
from bot.feedback.tables import Job, Place
from bot.messages import outbox

logger = logging.getLogger(__name__)

SOON = 1.0  # seconds: what is answered before needs no notice
PERIOD = 4.5  # seconds; Telegram shows one notice for five


class TypingNotice:
    """One notice a place, however many pictures are in work there. A refusal delays it and never ends it.

    Who waits behind many others sees none: a queue of minutes would cost more calls than all its answers.
    """

    def __init__(self, bot: Bot, queue: Queue, nursery: Nursery) -> None:
        self._bot = bot
        self._queue = queue
        self._nursery = nursery
        self._jobs: defaultdict[Place, list[Job]] = defaultdict(list)
        self._due: dict[Place, asyncio.TimerHandle] = {}  # most pictures are answered before
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def show(self, job: Job) -> AsyncIterator[None]:
        """Shown while the block runs, in which the job is in work, from when only few are before it."""
        place = job.place
        self._jobs[place].append(job)
        if place not in self._due:
            self._due[place] = asyncio.get_running_loop().call_later(SOON, self._begin, place)
        try:
            yield
        finally:
            self._jobs[place].remove(job)
            if not self._jobs[place]:
                del self._jobs[place]
                self._due.pop(place).cancel()
                if (task := self._tasks.pop(place, None)) is not None:
                    task.cancel()

    def _begin(self, place: Place) -> None:
        self._tasks[place] = self._nursery.start(self._repeat(place), name=f"typing in {place.chat_id}")

    async def _repeat(self, place: Place) -> None:
        while True:
            try:
                if any(map(self._queue.is_near, self._jobs[place])):
                    await outbox.show_typing(self._bot, place)
            except AiogramError as error:
                logger.debug("No typing notice in %s: %s", place.chat_id, error)
            await asyncio.sleep(PERIOD)
