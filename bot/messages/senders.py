"""Who is behind a message: a person, or a chat in whose name somebody writes.

A picture is its sender's: of the person who wrote the message that carries it. A person who forwards a
picture sends it. Channels, anonymous administrators and bots are nobody who could let a picture be kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiogram.types import CallbackQuery, ExternalReplyInfo, Message, User

from bot.common.accounts import is_person


@dataclass(frozen=True, slots=True)
class Author:
    """Whose settings, limits and pictures a message concerns."""

    telegram_id: int  # of the person; of the chat, which is negative, where nobody says who writes
    username: str | None = None
    language_code: str | None = None

    @property
    def is_person(self) -> bool:
        """Whether there is somebody who can choose, allow and erase."""
        return is_person(self.telegram_id)


def author(event: Message | CallbackQuery) -> Author | None:
    """Who wrote or pressed; None: nobody, not even in the name of the message's chat."""
    user, chat = event.from_user, getattr(event, "chat", None)
    if user is not None and getattr(event, "sender_chat", None) is None and is_person(user.id):
        return Author(user.id, user.username, user.language_code)
    return None if chat is None or chat.id > 0 else Author(chat.id)


def person_behind(message: Message) -> int | None:
    """The Telegram id of the person who sent what is in this message; None: there is none to be asked."""
    return _person(message.from_user) if message.sender_chat is None else None


def person_quoted(quoted: ExternalReplyInfo) -> int | None:
    """The same for what is quoted from another chat."""
    return _person(getattr(quoted.origin, "sender_user", None))


def _person(user: User | None) -> int | None:
    return user.id if user is not None and not user.is_bot and is_person(user.id) else None
