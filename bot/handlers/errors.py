"""What nobody expected is logged, and the person gets a sentence instead of silence."""

from __future__ import annotations

import logging

from aiogram import Router
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.exceptions import AiogramError, TelegramAPIError
from aiogram.types import CallbackQuery, ErrorEvent, Message, Update

from bot.captioning.notices import TroubleNotice
from bot.config import Settings
from bot.feedback.database import StoreAway, StoreError
from bot.feedback.store import Store
from bot.handlers.common import answer, reply
from bot.messages.failures import may_not_write
from bot.messages.outbox import place_of
from bot.texts import Language, choose_language, sentences, texts
from inference.common.types import EngineError

logger = logging.getLogger(__name__)


def router() -> Router:
    """A new router."""
    made = Router(name="errors")
    made.errors.register(failed)
    return made


async def failed(event: ErrorEvent, settings: Settings, store: Store) -> object:
    """Every exception of a handler ends here, but for a database that is away: then it is called again."""
    if isinstance(event.exception, StoreAway):
        return UNHANDLED
    update, error = event.update, event.exception
    cause = update.message or update.edited_message or update.callback_query
    sender = cause.from_user if cause is not None else None
    if isinstance(error, TelegramAPIError) and may_not_write(error):  # there is nobody to tell
        chat_id = getattr(error.method, "chat_id", None)
        if isinstance(chat_id, int) and chat_id > 0:
            await store.people.deactivate(chat_id)
        logger.info("Not allowed to write to %s: %s", chat_id, error.message)
        return True
    # What the engine and the store say is a sentence for the operator; anything else needs its traceback.
    if isinstance(error, EngineError | StoreError):
        logger.error("Update %d failed: %s", update.update_id, error)
    else:
        logger.error("Update %d failed", update.update_id, exc_info=error)
    words = texts(choose_language(sender.language_code if sender else None, settings.language))
    try:
        if isinstance(cause, CallbackQuery):
            await answer(cause, words(sentences.SOMETHING_BROKE), alert=True)
        elif isinstance(cause, Message):
            await reply(cause, words(sentences.SOMETHING_BROKE))
    except AiogramError as second:
        logger.info("The person could not be told: %s", second)
    return True


async def tell_later(update: Update, trouble: TroubleNotice, default_language: Language) -> None:
    """Say to whoever caused the update that it takes longer, since the database is away."""
    cause = update.message or update.edited_message or update.callback_query
    if cause is None or cause.from_user is None:
        return
    language = choose_language(cause.from_user.language_code, default_language)
    if isinstance(cause, CallbackQuery):
        await answer(cause, texts(language)(sentences.LATER), alert=True)
    else:
        await trouble.tell(place_of(cause), language=language, reply_to=cause.message_id)
