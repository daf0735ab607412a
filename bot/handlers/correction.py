"""A better description, written as the reply to a prompt that the store knows by its message id."""

from __future__ import annotations

import re
from typing import Any

from aiogram import Bot, F, Router
from aiogram.enums import ChatType
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, ForceReply, Message

from bot import outbox
from bot.feedback.store import NotStored, Store
from bot.feedback.tables import User
from bot.handlers.common import answer, edit, once_saved, reply
from bot.nursery import Nursery
from bot.replies import CORRECT
from bot.targets import Found, find
from bot.texts import Html, Texts, sentences


class AnswersPrompt(Filter):
    """A reply to one of our prompts; gives its ``caption_id``. A command or a picture is no correction."""

    async def __call__(self, message: Message, bot: Bot, store: Store) -> bool | dict[str, Any]:
        prompt = message.reply_to_message
        if prompt is None or prompt.from_user is None or prompt.from_user.id != bot.id:
            return False
        if isinstance(find(message), Found) or (message.text or "").startswith("/"):
            return False
        caption_id = await store.prompted(message.chat.id, prompt.message_id)
        return False if caption_id is None else {"caption_id": caption_id}


def router() -> Router:
    """A new router."""
    made = Router(name="correction")
    made.callback_query.register(ask, F.data.regexp(CORRECT, mode="fullmatch").as_("pressed"))
    made.message.register(take, AnswersPrompt())
    made.edited_message.register(change, F.text, AnswersPrompt())
    return made


async def ask(
    callback: CallbackQuery,
    *,
    pressed: re.Match[str],
    bot: Bot,
    user: User,
    words: Texts,
    store: Store,
    nursery: Nursery,
) -> None:
    """Ask for the better description."""
    message = callback.message
    caption_id = int(pressed[1])
    if message is None or await store.caption(caption_id) is None:
        await answer(callback, words(sentences.CAPTION_GONE), alert=True)
        return
    nursery.start(answer(callback), name="answer to correct")
    source = await store.job_of_caption(caption_id, message.chat.id, message.message_id)
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
        await store.prompt(prompt.chat.id, prompt.message_id, caption_id, user.id)
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
        await store.correct(user.id, caption_id, (message.text or "").strip())
    except NotStored:
        await reply(message, words(sentences.CAPTION_GONE))
    else:
        with once_saved():
            await reply(message, words(done))
