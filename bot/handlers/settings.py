"""/settings: how much descriptions tell, where the words on the picture stand, and in which language."""

from __future__ import annotations

from aiogram import Router
from aiogram.types import CallbackQuery, Message

from bot.captioning.models import Catalogue
from bot.common.nursery import Nursery
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import Pressed, TextCommand, reply, turn_page
from bot.handlers.pages import settings_keyboard, settings_page, settings_state
from bot.messages.buttons import TELLING, Button
from bot.texts import Texts


def router() -> Router:
    """A new router."""
    made = Router(name="settings")
    made.message.register(show, TextCommand("settings"))
    made.callback_query.register(choose, Pressed("settings"))
    return made


async def show(message: Message, user: User, words: Texts, catalogue: Catalogue) -> None:
    """Say how it is, and offer the rest."""
    only_russian = await catalogue.only_russian_of(user)
    await reply(message, settings_page(user, only_russian, words), settings_keyboard(user, words))


async def choose(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    catalogue: Catalogue,
    nursery: Nursery,
) -> None:
    """Describe so from now on."""
    column, value = TELLING[press.value]
    user = await store.people.choose_telling(user.id, **{column: value})
    only_russian = await catalogue.only_russian_of(user)
    await turn_page(
        callback,
        nursery,
        said=settings_state(user, only_russian, words),
        page=settings_page(user, only_russian, words),
        keyboard=settings_keyboard(user, words),
    )
