"""Whoever the operator has muted is not heard."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiogram import BaseMiddleware
from aiogram.dispatcher.flags import get_flag
from aiogram.types import CallbackQuery, Message, TelegramObject

from bot.feedback.store import Store
from bot.messages.senders import author

logger = logging.getLogger(__name__)

FOR_MUTED: Final = {"for_muted": True}  # flags of a handler that serves them too


class MutedMiddleware(BaseMiddleware):
    """Drops what a muted person writes or presses, and all of a muted group, but for handlers FOR_MUTED.

    An inner middleware: where no handler was found, nobody is looked for.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        if isinstance(event, Message | CallbackQuery) and not get_flag(data, "for_muted"):
            sender = author(event)
            message = event if isinstance(event, Message) else event.message
            person = None if sender is None else sender.telegram_id
            chat = None if message is None else message.chat.id
            if await self._store.muted.has(person, chat):
                logger.debug("Muted: nothing is done for %s in %s", person, chat)
                return None
        return await handler(event, data)
