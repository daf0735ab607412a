"""/privacy (may pictures be kept?) and /forget (erase everything)."""

from __future__ import annotations

from dataclasses import asdict

from aiogram import Router
from aiogram.types import CallbackQuery, Message

from bot.captioning import Captioning
from bot.captioning.models import Catalogue
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.database import NotStored
from bot.feedback.erasure import Erased
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import Pressed, TextCommand, answer, once_saved, reply, say, turn_page
from bot.handlers.pages import consent_keyboard, greeting, privacy_page
from bot.messages.buttons import Button
from bot.middlewares.muted import FOR_MUTED
from bot.texts import Texts, sentences


def router() -> Router:
    """A new router."""
    made = Router(name="privacy")
    made.message.register(privacy, TextCommand("privacy"), flags=FOR_MUTED)
    made.message.register(forget, TextCommand("forget"), flags=FOR_MUTED)
    made.callback_query.register(choose, Pressed("consent"), flags=FOR_MUTED)
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


async def forget(message: Message, user: User, words: Texts, store: Store, captioning: Captioning) -> None:
    """Erase everything about this person, and stop what is in work for them."""
    await captioning.drop(user)
    try:
        erased = await store.erasure.erase(user.id)
    except NotStored:  # the command came twice
        erased = Erased()
    with once_saved():
        await say(message, words(sentences.FORGOTTEN, **asdict(erased)))
