"""/language: the language of the interface, which otherwise follows the person's Telegram."""

from __future__ import annotations

from aiogram import Router
from aiogram.types import CallbackQuery, Message

from bot.common.nursery import Nursery
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import Pressed, TextCommand, reply, turn_page
from bot.handlers.pages import language_keyboard
from bot.messages.buttons import Button
from bot.texts import Texts, sentences, texts


def router() -> Router:
    """A new router."""
    made = Router(name="language")
    made.message.register(language, TextCommand("language"))
    made.callback_query.register(choose, Pressed("language"))
    return made


async def language(message: Message, user: User, words: Texts) -> None:
    """Say which language it is, and offer both."""
    await reply(message, words(sentences.LANGUAGE_PAGE), language_keyboard(user, words))


async def choose(callback: CallbackQuery, press: Button, user: User, store: Store, nursery: Nursery) -> None:
    """Speak the chosen language from now on."""
    await store.people.set_language(user.id, press.value)
    words = texts(press.value)
    page = words(sentences.LANGUAGE_PAGE)
    await turn_page(callback, nursery, said=page, page=page, keyboard=language_keyboard(user, words))
