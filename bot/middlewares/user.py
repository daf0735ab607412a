"""Who is behind the update, as the store knows them, and the texts in their language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject

from bot.feedback.store import Store
from bot.messages.senders import author
from bot.texts import Language, choose_language, texts


class UserMiddleware(BaseMiddleware):
    """Gives handlers ``user`` (the store's row) and ``words`` (the texts).

    An inner middleware, on purpose: it runs only when a handler was found, so that people who merely talk in
    a group where the bot sits are not written down.
    """

    def __init__(self, store: Store, default_language: Language) -> None:
        self._store = store
        self._default_language = default_language

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        sender = author(event) if isinstance(event, Message | CallbackQuery) else None
        if sender is None:
            return None  # a message without an author cannot be rated, corrected or erased
        language = choose_language(sender.language_code, self._default_language)
        user = await self._store.people.meet(sender.telegram_id, language=language, username=sender.username)
        data["user"] = user
        data["words"] = texts(user.language)
        return await handler(event, data)
