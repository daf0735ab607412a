"""A better description, written as the reply to a prompt that the store knows by its message id."""

from __future__ import annotations

from typing import Any

from aiogram import Bot, F, Router
from aiogram.enums import ChatType
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, ForceReply, Message

from bot.common.nursery import Nursery
from bot.feedback.database import NotStored
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Shown, User
from bot.handlers.common import Pressed, Where, answer, edit, once_saved, reply
from bot.messages import outbox
from bot.messages.buttons import Button
from bot.messages.targets import Found, find
from bot.middlewares.buttons import Gate
from bot.texts import Html, Texts, sentences


class AnswersPrompt(Filter):
    """The reply to a prompt by whoever was asked; gives its ``caption_id``.

    A command or a picture is no correction.
    """

    async def __call__(self, message: Message, gate: Gate) -> bool | dict[str, Any]:
        if isinstance(find(message), Found) or (message.text or "").startswith("/"):
            return False
        caption_id = await gate.prompted(message)
        return False if caption_id is None else {"caption_id": caption_id}


def router() -> Router:
    """A new router."""
    made = Router(name="correction")
    made.callback_query.register(ask, Pressed("correct"))
    made.message.register(take, AnswersPrompt())
    made.edited_message.register(change, Where(F.text), AnswersPrompt())
    return made


async def ask(
    callback: CallbackQuery,
    *,
    press: Button,
    bot: Bot,
    user: User,
    words: Texts,
    store: Store,
    nursery: Nursery,
) -> None:
    """Ask for the better description."""
    message = callback.message
    caption_id = press.caption_id
    if message is None or await store.captions.get(caption_id) is None:
        await answer(callback, words(sentences.CAPTION_GONE), alert=True)
        return
    nursery.start(answer(callback), name="answer to correct")
    source = await store.jobs.of_caption(caption_id, message.chat.id, message.message_id)
    place = outbox.place_of(message, source.place if source is not None else None)
    if message.chat.type == ChatType.PRIVATE:
        text, selective = words(sentences.PROMPT), False
    else:
        # The mention makes the prompt open only this person's keyboard, not everybody's.
        text = words(sentences.PROMPT_FOR, name=Html(callback.from_user.mention_html()))
        selective = True
    keyboard = ForceReply(selective=selective, input_field_placeholder=words(sentences.PROMPT_PLACEHOLDER))
    prompt = await outbox.send(bot, place, text, keyboard=keyboard, reply_to=message.message_id)
    try:
        asked = Shown("prompt", caption_id=caption_id, user_id=user.id)
        await store.messages.show(MessageKey.of(prompt.chat.id, prompt.message_id), asked)
    except NotStored:
        await edit(bot, place, prompt.message_id, words(sentences.CAPTION_GONE), None)


async def take(message: Message, caption_id: int, user: User, words: Texts, store: Store) -> None:
    """Save the better description."""
    if message.text is None or not message.text.strip():
        await reply(message, words(sentences.CORRECTION_NOT_TEXT))
        return
    await _save(message, caption_id, user=user, words=words, store=store, done=sentences.CORRECTION_TAKEN)


async def change(message: Message, caption_id: int, user: User, words: Texts, store: Store) -> None:
    """The person edited the message with their description."""
    await _save(message, caption_id, user=user, words=words, store=store, done=sentences.CORRECTION_CHANGED)


async def _save(
    message: Message, caption_id: int, *, user: User, words: Texts, store: Store, done: str
) -> None:
    try:
        await store.marks.correct(user.id, caption_id, (message.text or "").strip())
    except NotStored:
        await reply(message, words(sentences.CAPTION_GONE))
    else:
        with once_saved():
            await reply(message, words(done))
