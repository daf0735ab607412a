"""The words on a picture, alone in a message: to be copied, or heard without the description."""

from __future__ import annotations

import html

from aiogram import Bot, Router
from aiogram.types import CallbackQuery

from bot.captioning.reply import picture_words
from bot.feedback.store import Store
from bot.handlers.common import Pressed, answer
from bot.messages import outbox
from bot.messages.buttons import Button
from bot.messages.lengths import wrap
from bot.texts import Texts, sentences


def router() -> Router:
    """A new router."""
    made = Router(name="words")
    made.callback_query.register(send, Pressed("words"))
    return made


async def send(callback: CallbackQuery, *, press: Button, bot: Bot, words: Texts, store: Store) -> None:
    """Answer the description with the words on its picture."""
    message = callback.message
    row = await store.captions.get(press.caption_id)
    if message is None or row is None:
        await answer(callback, words(sentences.CAPTION_GONE), alert=True)
        return
    await answer(callback)
    source = await store.jobs.of_caption(row.id, message.chat.id, message.message_id)
    place = outbox.place_of(message, source.place if source is not None else None)
    for piece in wrap("\n".join(picture_words(row.words))):
        await outbox.send(bot, place, html.escape(piece, quote=False), reply_to=message.message_id)
