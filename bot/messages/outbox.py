"""The only place from which messages go out: each send takes a whole `Place`, so that no part is forgotten.

aiogram's own shortcuts (``message.answer``, ``message.reply``) know the topic and the business connection,
but not the topic of a channel's direct messages; and Telegram refuses an answer to a deleted message in a
forum, whatever ``allow_sending_without_reply`` says.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import (
    FSInputFile,
    InlineKeyboardMarkup,
    MaybeInaccessibleMessageUnion,
    Message,
    ReplyMarkupUnion,
    ReplyParameters,
)

from bot.feedback.tables import Place

logger = logging.getLogger(__name__)

FILE_TIMEOUT = 300  # seconds for sending one file

_TOPIC_GONE = ("thread not found", "topic_closed", "topic_deleted", "topic_id_invalid", "topic closed")


def place_of(message: MaybeInaccessibleMessageUnion, known: Place | None = None) -> Place:
    """Where a message stands.

    ``known``: where it must stand as far as the store knows, for a message so old that Telegram tells its
    chat alone.
    """
    if not isinstance(message, Message):
        here = Place(message.chat.id)
        return known if known is not None and known.chat_id == here.chat_id else here
    topic = message.direct_messages_topic
    return Place(
        message.chat.id,
        # Elsewhere the number is that of a thread of answers, which is nothing to be sent to.
        thread_id=message.message_thread_id if message.is_topic_message else None,
        business_connection_id=message.business_connection_id,
        direct_messages_topic_id=None if topic is None else topic.topic_id,
    )


def is_topic_gone(error: TelegramBadRequest) -> bool:
    """Whether the refusal says that nobody can write to this topic: it was closed or deleted."""
    return any(reason in error.message.lower() for reason in _TOPIC_GONE)


async def send(
    bot: Bot,
    place: Place,
    text: str,
    *,
    keyboard: ReplyMarkupUnion | None = None,
    reply_to: int | None = None,
    silent: bool = False,
) -> Message:
    """A message (HTML), as the answer to ``reply_to`` where that message is still there."""

    async def to(where: Place, answered: ReplyParameters | None) -> Message:
        return await bot.send_message(
            where.chat_id,
            text,
            message_thread_id=where.thread_id,
            business_connection_id=where.business_connection_id,
            direct_messages_topic_id=where.direct_messages_topic_id,
            reply_markup=keyboard,
            reply_parameters=answered,
            disable_notification=silent or None,
        )

    return await _answering(to, place, reply_to)


async def send_file(bot: Bot, place: Place, path: Path, *, reply_to: int | None = None) -> Message:
    """A file from the disk."""

    async def to(where: Place, answered: ReplyParameters | None) -> Message:
        return await bot.send_document(
            where.chat_id,
            FSInputFile(path),
            message_thread_id=where.thread_id,
            business_connection_id=where.business_connection_id,
            direct_messages_topic_id=where.direct_messages_topic_id,
            reply_parameters=answered,
            request_timeout=FILE_TIMEOUT,
        )

    return await _answering(to, place, reply_to)


async def edit(
    bot: Bot, place: Place, message_id: int, text: str, keyboard: InlineKeyboardMarkup | None = None
) -> None:
    """Change a message of ours (HTML)."""
    await bot.edit_message_text(
        text,
        chat_id=place.chat_id,
        message_id=message_id,
        business_connection_id=place.business_connection_id,
        reply_markup=keyboard,
    )


async def delete(bot: Bot, place: Place, message_id: int) -> None:
    """Delete a message of ours."""
    if place.business_connection_id is None:
        await bot.delete_message(place.chat_id, message_id)
    else:
        await bot.delete_business_messages(place.business_connection_id, [message_id])


async def show_typing(bot: Bot, place: Place) -> None:
    """Show for five seconds that the bot writes."""
    if place.direct_messages_topic_id is None:  # there Telegram shows nothing
        await bot.send_chat_action(
            place.chat_id,
            "typing",
            message_thread_id=place.thread_id,
            business_connection_id=place.business_connection_id,
        )


async def _answering(
    to: Callable[[Place, ReplyParameters | None], Awaitable[Message]], place: Place, reply_to: int | None
) -> Message:
    """Send as an answer; where that is refused because something is gone, in the next best way."""
    if reply_to is None:
        return await to(place, None)
    try:
        # The message may have been deleted meanwhile: the answer comes all the same.
        return await to(place, ReplyParameters(message_id=reply_to, allow_sending_without_reply=True))
    except TelegramBadRequest as error:
        if place.thread_id is not None and "thread not found" in error.message.lower():
            # Also said of a topic that is too old for Telegram to find it for a bot, and of one whose group
            # has no topics any more: an answer stands where the answered message does.
            logger.info("A topic in %s cannot be written to (%s)", place.chat_id, error.message)
            try:
                return await to(
                    Place(place.chat_id, business_connection_id=place.business_connection_id),
                    ReplyParameters(message_id=reply_to, allow_sending_without_reply=False),
                )
            except TelegramBadRequest:
                raise error from None
        if "repl" not in error.message.lower():
            raise
    return await to(place, None)  # in a forum allow_sending_without_reply counts for nothing
