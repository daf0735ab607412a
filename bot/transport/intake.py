"""Where updates come in, whatever brings them: each is handled once, those of one person in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiogram import Bot
from aiogram.types import Update
from pydantic import ValidationError

from bot.common.nursery import Nursery
from bot.common.places import HeldPlace, holding
from bot.messages.senders import author
from bot.transport.wire import read_known

logger = logging.getLogger(__name__)

HANDLERS_AT_ONCE = 200  # two full batches of long polling

Lane = tuple[str, int, int]  # what kind of update, in which chat, by whom


@dataclass(frozen=True, slots=True)
class Started:
    """An update in work. ``settled``: when ``task`` is done, or waits for a limit of Telegram's."""

    task: asyncio.Task[None]
    settled: asyncio.Future[None]


def read_update(row: dict[str, Any], bot: Bot) -> Update | None:
    """The update as aiogram knows it, without what is new in it; None: it cannot be read."""
    try:
        return read_known(partial(Update.model_validate, context={"bot": bot}), row)
    except ValidationError as error:
        told = error.errors(include_input=False, include_url=False)
        logger.error("An update cannot be read and is left out: %s", told)
        return None


def _lane(update: Update) -> Lane | None:
    """What must be handled in order, or None."""
    if (press := update.callback_query) is not None:
        return ("press", press.message.chat.id if press.message is not None else 0, press.from_user.id)
    message = update.message
    sender = author(message) if message is not None and message.media_group_id is None else None
    return None if message is None or sender is None else ("message", message.chat.id, sender.telegram_id)


class Intake:
    """Feeds updates to ``handle``, which must not raise.

    What one person presses in a chat is handled one after another, in the order it came (the last mark must
    win), and so is what one person writes there (the first pictures come first in the queue). Parts of an
    album run at once, since each waits for the others, and so does everything else.

    There are HANDLERS_AT_ONCE places. Who waits for a limit of Telegram's, or behind such a one, holds none.
    """

    def __init__(self, handle: Callable[[Update], Awaitable[object]]) -> None:
        self._handle = handle
        self._lanes: dict[Lane, Started] = {}
        self._room = asyncio.Semaphore(HANDLERS_AT_ONCE)
        self.handlers = Nursery()

    async def start(self, update: Update) -> Started:
        """Handle it in the background, as soon as there is room for one more handler."""
        await self._room.acquire()
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def give_back() -> None:
            self._room.release()
            settled.set_result(None)

        place = HeldPlace(give_back)
        lane = _lane(update)
        before = self._lanes.get(lane) if lane is not None else None
        task = self.handlers.start(self._one(update, before, place), name=f"update {update.update_id}")
        task.add_done_callback(lambda _: place.step_aside())
        started = Started(task, settled)
        if lane is not None:
            self._lanes[lane] = started
            task.add_done_callback(lambda _: self._leave(lane, started))
        # A poll brings a hundred: if all began in one turn of the loop, nobody else was served meanwhile.
        await asyncio.sleep(0)
        return started

    def _leave(self, lane: Lane, started: Started) -> None:
        if self._lanes.get(lane) is started:
            del self._lanes[lane]

    async def _one(self, update: Update, before: Started | None, place: HeldPlace) -> None:
        if not update.model_fields_set - {"update_id"}:
            return
        if before is not None:
            await asyncio.wait([before.settled])
            if not before.task.done():
                place.step_aside()
                await asyncio.wait([before.task])
        with holding(place):
            await self._handle(update)
