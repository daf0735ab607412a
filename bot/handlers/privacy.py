"""/privacy (may pictures be kept?) and /forget (is everything to be erased?)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from aiogram import Router
from aiogram.types import CallbackQuery, Message

from bot.captioning import Captioning
from bot.captioning.models import Catalogue
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.database import NotStored
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import Pressed, TextCommand, answer, edit, reply, turn_page
from bot.handlers.pages import consent_keyboard, forget_keyboard, greeting, privacy_page
from bot.messages import outbox
from bot.messages.buttons import Button
from bot.middlewares.muted import FOR_MUTED
from bot.texts import Texts, sentences

_LATELY: Final = timedelta(days=1)


def router() -> Router:
    """A new router."""
    made = Router(name="privacy")
    made.message.register(privacy, TextCommand("privacy"), flags=FOR_MUTED)
    made.message.register(forget, TextCommand("forget"), flags=FOR_MUTED)
    made.callback_query.register(choose, Pressed("consent"), flags=FOR_MUTED)
    made.callback_query.register(decide, Pressed("forget"), flags=FOR_MUTED)
    return made


async def privacy(
    message: Message, user: User, words: Texts, settings: Settings, catalogue: Catalogue
) -> None:
    """Say what is kept, and ask."""
    page = privacy_page(user.consent, await catalogue.hosts(user), words, settings)
    await reply(message, page, consent_keyboard(user, user.consent, words))


async def choose(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    settings: Settings,
    catalogue: Catalogue,
    nursery: Nursery,
) -> None:
    """Save the choice of whoever pressed."""
    consent = press.value == "1"
    try:
        await store.people.set_consent(user.id, consent)
    except NotStored:
        await answer(callback)
        return
    start, hosts = press.shown.kind == "greeting", await catalogue.hosts(user)
    await turn_page(
        callback,
        nursery,
        said=words(sentences.CONSENT_ON if consent else sentences.CONSENT_OFF),
        page=greeting(consent, hosts, words) if start else privacy_page(consent, hosts, words, settings),
        keyboard=consent_keyboard(user, consent, words, start=start),
    )


async def forget(message: Message, user: User, words: Texts) -> None:
    """Ask whether everything about this person is to be erased: one tap in /help may be an accident."""
    await reply(message, words(sentences.FORGET_QUESTION), forget_keyboard(user, words))


async def decide(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    captioning: Captioning,
    nursery: Nursery,
) -> None:
    """Erase everything about whoever pressed, and stop what is in work for them; or keep it."""
    if press.value == "0":
        said = words(sentences.NOT_FORGOTTEN)
    elif not _asked_lately(callback):
        said = words(sentences.FORGET_TOO_OLD)
    else:
        await captioning.drop(user)
        try:
            erased = await store.erasure.erase(user.id)
        except NotStored:
            erased = None
        if erased is None or user.id != press.shown.user_id:
            # Pressed twice: whom it is about is erased, or was met anew just then.
            await answer(callback)
            return
        said = words(sentences.FORGOTTEN, **asdict(erased))
    nursery.start(answer(callback, said), name="answer to a decision")
    if callback.message is not None and callback.bot is not None:
        place = outbox.place_of(callback.message)
        await edit(callback.bot, place, callback.message.message_id, said, None)


def _asked_lately(callback: CallbackQuery) -> bool:
    """Not so long ago that a finger which passes the old question would erase what came since."""
    message = callback.message
    return isinstance(message, Message) and datetime.now(UTC) - message.date < _LATELY
