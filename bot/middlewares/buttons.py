"""The one gate for presses and for answers to prompts: nothing counts but what its message shows.

A client of one's own sends any callback_data under any message of the bot, in any chat. What Telegram vouches
for is who pressed, and under which message. So:

* What goes out passes :class:`ButtonsOut`. It signs every callback_data with a key of the store, for the chat
  that the message goes to, and writes down what the message shows (``shown_messages``).
* What comes back passes :class:`ButtonsIn`, before any filter or handler of any router. A press counts when
  its signature is right for this chat, the row of *this very message* shows what the button is about, and the
  message belongs to whoever pressed (a private chat to its person; a page in a group to whoever asked for
  it). Anything else is told one sentence, the same whether there is such a number or not; nothing is looked
  up or written for it.
* Answers to a prompt are looked up by :meth:`Gate.prompted`: the row of the message that is answered, and
  only for the person who was asked. Questions about a description likewise, by :meth:`Gate.asked_about`: in
  its chat everybody may ask.

A bot that is killed between sending a message and writing its row leaves a message without one. Telegram then
vouches for the buttons themselves: a press brings its message along, written by us, with the keyboard that we
gave it. When that holds the pressed data, signed for this chat, the row is written belatedly. No person can
make such a message: buttons that call back are lost when a message is forwarded or copied.

Messages of before there were signatures: the migration wrote rows for the descriptions whose message was
known by their job (``unsigned``). Under these, and no others, data without a signature counts, for that
caption only.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import AiogramError
from aiogram.methods import Response, TelegramMethod
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message, TelegramObject

from bot.feedback.database import NotStored, StoreError
from bot.feedback.messages import MessageKey
from bot.feedback.store import Store
from bot.feedback.tables import Shown, ShownMessage, User
from bot.messages.buttons import Button, read_button, signed, split
from bot.messages.senders import author
from bot.texts import Language, choose_language, sentences, texts

logger = logging.getLogger(__name__)


class Gate:
    """Signs buttons, and says which presses and which answers to prompts count."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sign(self, body: str, place: int | str) -> str:
        """The callback_data for a message in this chat (or for the inline message of this id)."""
        return signed(body, self._store.messages.signature(f"{place}:{body}"))

    async def opened(self, callback: CallbackQuery) -> Button | None:
        """The button that was pressed; None: the press does not count."""
        message = callback.message
        if author(callback) is None:
            return None  # an account of Telegram's own presses nothing
        if message is not None:
            place, signed_for = MessageKey.of(message.chat.id, message.message_id), str(message.chat.id)
        elif callback.inline_message_id is not None:
            place = MessageKey(inline_message_id=callback.inline_message_id)
            signed_for = callback.inline_message_id
        else:
            return None
        data = callback.data or ""
        body, signature = split(data)
        button = read_button(body)
        genuine = signature is not None and hmac.compare_digest(
            signature, self._store.messages.signature(f"{signed_for}:{body}")
        )
        if button is None or (signature is not None and not genuine):
            return None
        row = await self._store.messages.find(place)
        belated = row is None and genuine and _has(message, data, callback.bot)
        if belated and await self._is_of(button.shown.user_id, callback):  # else nothing is written either
            row = await self._write_belatedly(place, button.shown)
        if row is None or not _shows(row, button, genuine=genuine):
            return None
        if not await self._is_of(row.user_id, callback):
            return None
        # What the row says of the job counts: it is gone there when its person was erased.
        return Button(
            button.kind, button.value, Shown(row.kind, row.caption_id, row.job_id, button.shown.user_id)
        )

    async def _is_of(self, user_id: int | None, callback: CallbackQuery) -> bool:
        """Whether a message that is this person's (None: everybody's in the chat) is whoever's pressed."""
        message, presser = callback.message, callback.from_user.id
        if message is not None and message.chat.id > 0 and message.chat.id != presser:
            return False
        return user_id is None or user_id == await self._number(presser)

    async def prompted(self, message: Message) -> int | None:
        """The caption whose correction this message is; None: it answers no prompt put to its author."""
        row, sender = await self._prompt(message), author(message)
        if row is None or sender is None or row.user_id != await self._number(sender.telegram_id):
            return None
        return row.caption_id

    async def is_answer(self, message: Message) -> bool:
        """Whether the message answers a prompt, whoever wrote it."""
        return await self._prompt(message) is not None

    async def asked_about(self, message: Message) -> Shown | None:
        """The description, or what else was said of its picture, that this message answers; None: no such
        one.
        """
        row = await self._answered(message)
        if row is None or row.kind not in ("caption", "text") or row.caption_id is None:
            return None
        return Shown(row.kind, row.caption_id, row.job_id)

    async def _prompt(self, message: Message) -> ShownMessage | None:
        row = await self._answered(message)
        return row if row is not None and row.kind == "prompt" else None

    async def _answered(self, message: Message) -> ShownMessage | None:
        """What the message of the bot shows that this one answers."""
        answered, bot = message.reply_to_message, message.bot
        if answered is None or answered.from_user is None or bot is None:
            return None
        if answered.from_user.id != bot.id:
            return None
        place = MessageKey.of(message.chat.id, answered.message_id)
        row = await self._store.messages.find(place)
        if row is not None or answered.reply_markup is None:
            return row
        # Its row is missing where the bot was killed just then: see above.
        for button in (one for buttons in answered.reply_markup.inline_keyboard for one in buttons):
            body, signature = split(button.callback_data or "")
            said = read_button(body)
            if said is None or signature is None or said.shown.user_id is not None:
                continue
            expected = self._store.messages.signature(f"{message.chat.id}:{body}")
            if hmac.compare_digest(signature, expected):
                return await self._write_belatedly(place, said.shown)
        return None

    async def known(self, telegram_id: int) -> User | None:
        """The person, if there is a row of them; none is made."""
        return await self._store.people.find(telegram_id)

    async def _number(self, telegram_id: int) -> int | None:
        user = await self.known(telegram_id)
        return None if user is None else user.id

    async def write_down(self, place: MessageKey, shown: Shown) -> None:
        """Remember what a message shows. Failing costs nothing: the first press does it again."""
        try:
            await self._store.messages.show(place, shown)
        except (StoreError, NotStored) as error:
            logger.info("What message %s shows is not written down: %s", place.message_id, error)

    async def _write_belatedly(self, place: MessageKey, shown: Shown) -> ShownMessage | None:
        try:
            return await self._store.messages.show(place, shown)
        except NotStored:  # the caption, job or person was erased
            return None


def _has(message: TelegramObject | None, data: str, bot: Bot | None) -> bool:
    """Whether Telegram shows us this message as ours, with a button that has this very data."""
    if not isinstance(message, Message) or message.reply_markup is None:
        return False
    if bot is None or message.from_user is None or message.from_user.id != bot.id:
        return False
    rows = message.reply_markup.inline_keyboard
    return any(button.callback_data == data for row in rows for button in row)


def _shows(row: ShownMessage, button: Button, *, genuine: bool) -> bool:
    """Whether a message of which the store says this may have this button."""
    shown = button.shown
    if row.unsigned:
        # Which of the two it shows was not written down: the description itself or the note about it.
        return row.kind == "caption" and shown.caption_id == row.caption_id is not None
    return (
        genuine
        and shown.kind == row.kind
        and shown.caption_id == row.caption_id
        and row.job_id in (None, shown.job_id)
        and shown.user_id in (None, row.user_id)
    )


class ButtonsOut(BaseRequestMiddleware):
    """Signs the buttons of what is sent, and writes down which message shows what.

    It stands below the middleware that follows chats to their new ids: the signature is for the chat in which
    the message ends up.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(
        self, make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        keyboard = getattr(method, "reply_markup", None)
        if not isinstance(keyboard, InlineKeyboardMarkup):
            return await make_request(bot, method)
        place = getattr(method, "chat_id", None) or getattr(method, "inline_message_id", None)
        if place is None:
            raise ValueError("Buttons need a chat to be signed for.")
        shown = what_is_shown(keyboard)
        signed_keyboard = self._signed(keyboard, place)
        answer = await make_request(bot, method.model_copy(update={"reply_markup": signed_keyboard}))
        sent: object = answer
        # An edit changes no message into another: what it shows is written down already.
        if shown is not None and isinstance(sent, Message) and getattr(method, "message_id", None) is None:
            await self._gate.write_down(MessageKey.of(sent.chat.id, sent.message_id), shown)
        return answer

    def _signed(self, keyboard: InlineKeyboardMarkup, place: int | str) -> InlineKeyboardMarkup:
        return InlineKeyboardMarkup(
            inline_keyboard=[
                [
                    button
                    if button.callback_data is None
                    else button.model_copy(
                        update={"callback_data": self._gate.sign(button.callback_data, place)}
                    )
                    for button in row
                ]
                for row in keyboard.inline_keyboard
            ]
        )


def what_is_shown(keyboard: InlineKeyboardMarkup) -> Shown | None:
    """What a message with this keyboard (not signed yet) shows; None: no button calls back.

    Raises ValueError for buttons that the gate would not let through.
    """
    found: set[Shown] = set()
    for data in (button.callback_data for row in keyboard.inline_keyboard for button in row):
        if data is None:
            continue
        button = read_button(data)
        if button is None:
            raise ValueError(f"There is no form for the button {data!r}.")
        found.add(button.shown)
    if len(found) > 1:
        raise ValueError("The buttons of one message are about different things.")
    return next(iter(found), None)


class ButtonsIn(BaseMiddleware):
    """Lets through the presses that count, as ``press``. An outer middleware: asked before any router."""

    def __init__(self, gate: Gate, default_language: Language) -> None:
        self._gate = gate
        self._default_language = default_language

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        if not isinstance(event, CallbackQuery):
            return None
        press = await self._gate.opened(event)
        if press is not None:
            data["press"] = press
            return await handler(event, data)
        known = await self._gate.known(event.from_user.id)
        language = known.language if known is not None else event.from_user.language_code
        words = texts(choose_language(language, self._default_language))
        try:
            await event.answer(words(sentences.BUTTON_UNKNOWN), show_alert=True)
        except AiogramError as error:
            logger.debug("A refused press stays unanswered: %s", error)
        return None
