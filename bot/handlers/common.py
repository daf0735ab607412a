"""What several handlers share."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from aiogram import Bot, F
from aiogram.enums import ChatType
from aiogram.exceptions import AiogramError
from aiogram.filters import Command, Filter
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message, ReplyMarkupUnion, TelegramObject
from magic_filter import MagicFilter

from bot.common.nursery import Nursery
from bot.feedback.tables import Place
from bot.messages import outbox
from bot.messages.buttons import Button, ButtonKind
from bot.messages.failures import may_not_write
from bot.texts import Texts, sentences, texts

logger = logging.getLogger(__name__)

_TOAST_LIMIT = 200  # characters of the answer to a press

# Errors of edits that leave everything as it should be.
_HARMLESS = (
    "message is not modified",
    "message to edit not found",
    "message can't be edited",
    "message_id_invalid",
    "chat not found",
)


class Where(Filter):
    """A condition on an event, asked at once.

    Where a handler is registered with the condition itself, aiogram asks it in a thread: many times as long.
    """

    def __init__(self, condition: MagicFilter) -> None:
        self._condition = condition

    async def __call__(self, event: TelegramObject) -> bool:
        return bool(self._condition.resolve(event))


IN_PRIVATE = Where(F.chat.type == ChatType.PRIVATE)


class AnyCommand(Command):
    """A command, also under a picture, in whatever case it is written."""

    def __init__(self, name: str) -> None:
        super().__init__(name, ignore_case=True)


class TextCommand(AnyCommand):
    """A command as a text; in groups only when it names this bot (/help@bot), since others listen too.

    A picture with "/help" under it is a picture.
    """

    async def __call__(self, message: Message, bot: Bot) -> bool | dict[str, Any]:
        if not message.text:
            return False
        found = await super().__call__(message, bot)
        if isinstance(found, dict) and message.chat.type != ChatType.PRIVATE and not found["command"].mention:
            return False
        return found


class Pressed(Filter):
    """A press on a button of one of these kinds, which has passed the gate (bot.middlewares.buttons)."""

    def __init__(self, *kinds: ButtonKind) -> None:
        self._kinds = kinds

    async def __call__(self, _: CallbackQuery, press: Button) -> bool:
        return press.kind in self._kinds


async def reply(message: Message, text: str, keyboard: ReplyMarkupUnion | None = None) -> Message:
    """Answer a message where it stands, also when it was deleted meanwhile."""
    return await outbox.send(
        bot_of(message), outbox.place_of(message), text, keyboard=keyboard, reply_to=message.message_id
    )


async def say(message: Message, text: str, keyboard: ReplyMarkupUnion | None = None) -> Message:
    """Say something where a message stands."""
    return await outbox.send(bot_of(message), outbox.place_of(message), text, keyboard=keyboard)


def bot_of(message: Message) -> Bot:
    """The bot that got the message: see `bot.transport.intake.read_update`."""
    return cast("Bot", message.bot)


async def answer(callback: CallbackQuery, text: str | None = None, *, alert: bool = False) -> None:
    """Stop the spinner on a pressed button. Failing is harmless: the query may be too old.

    ``text``: HTML, whose tags would be shown; of one that is too long the beginning is.
    """
    said = None if text is None else html.unescape(text)[:_TOAST_LIMIT]
    try:
        await callback.answer(said, show_alert=alert)
    except AiogramError as error:
        logger.debug("A press stays unanswered: %s", error)


@contextmanager
def once_saved() -> Iterator[None]:
    """Around what follows when a person's wish is written down: showing it, and saying so.

    Whatever fails in there is logged and ends it, and nobody hears that something broke: nothing has.
    """
    try:
        yield
    except AiogramError as error:
        told = str(error)
        expected = may_not_write(error) or any(one in told.lower() for one in _HARMLESS)
        level = logging.DEBUG if expected else logging.WARNING
        logger.log(level, "What was saved could not be shown: %s", told)
    except Exception:
        logger.exception("What was saved could not be shown")


async def edit(
    bot: Bot, place: Place, message_id: int, text: str, keyboard: InlineKeyboardMarkup | None
) -> None:
    """Change a message of ours to what is true already; that it cannot be changed is logged and no more."""
    with once_saved():
        await outbox.edit(bot, place, message_id, text, keyboard)


async def turn_page(
    callback: CallbackQuery, nursery: Nursery, *, said: str, page: str, keyboard: InlineKeyboardMarkup
) -> None:
    """Answer a press that changed a person's choice, and show the page (HTML) as it is now.

    In a group others read the page too: there only the press is answered.
    """
    nursery.start(answer(callback, said), name="answer to a choice")
    message = callback.message
    if message is not None and message.chat.id > 0 and callback.bot is not None:
        await edit(callback.bot, outbox.place_of(message), message.message_id, page, keyboard)


def labels_shown(callback: CallbackQuery) -> set[str]:
    """What is written on the buttons of the message under which one was pressed."""
    message = callback.message
    if not isinstance(message, Message) or message.reply_markup is None:
        return set()
    return {button.text for row in message.reply_markup.inline_keyboard for button in row}


def language_shown(labels: set[str], default: Texts) -> Texts:
    """The language of a description with these buttons, which in a group is its first asker's."""
    said = (texts(language) for language in ("ru", "en"))
    return next((one for one in said if one(sentences.CORRECT) in labels), default)
