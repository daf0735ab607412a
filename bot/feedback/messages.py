"""What the bot's messages show: of what a press on one, or an answer to one, speaks."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import and_, bindparam, select

from bot.feedback.database import NotStored
from bot.feedback.sessions import Sessions, made
from bot.feedback.tables import Shown, ShownMessage, User, now

_SAID = ("kind", "caption_id", "job_id", "user_id", "unsigned", "created_at")  # of a message by its row
_USERS = User.columns()


@dataclass(frozen=True, slots=True)
class MessageKey:
    """Where a message of the bot stands, as Telegram itself names it with every press and answer."""

    chat_id: int | None = None
    message_id: int | None = None
    inline_message_id: str | None = None  # instead of the two others

    @classmethod
    def of(cls, chat_id: int, message_id: int) -> Self:
        """A message in a chat."""
        return cls(chat_id, message_id)


class Messages:
    """Messages of the bot with buttons, and those to be answered."""

    def __init__(self, sessions: Sessions, signing_secret: bytes) -> None:
        self._sessions = sessions
        self._signing_secret = signing_secret
        columns = ShownMessage.columns()
        insert = sessions.insert(ShownMessage)
        said = {name: insert.excluded[name] for name in _SAID}
        in_chat, inline = ("chat_id", "message_id"), ("inline_message_id",)
        # Made once, since every caption needs one.
        self._upsert, self._upsert_inline = (
            insert.on_conflict_do_update(index_elements=key, set_=said).returning(columns)
            for key in (in_chat, inline)
        )
        given = [column for column in columns.c if not column.primary_key]
        theirs = [
            _USERS.c.id if column.name == "user_id" else bindparam(column.name, type_=column.type)
            for column in given
        ]
        self._upsert_private = (
            insert.from_select(given, select(*theirs).where(_USERS.c.telegram_id == bindparam("number")))
            .on_conflict_do_update(index_elements=in_chat, set_=said)
            .returning(columns)
        )

    def signature(self, text: str) -> str:
        """16 letters, digits, "-" and "_" that nobody without this database can find for ``text``."""
        digest = hmac.new(self._signing_secret, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:12]).decode()

    async def show(self, place: MessageKey, shown: Shown) -> ShownMessage:
        """This message of the bot shows that; one in a private chat is its person's.

        Raises NotStored when the caption, the job or the person was erased.
        """
        values: dict[str, Any] = {
            "chat_id": place.chat_id,
            "message_id": place.message_id,
            "inline_message_id": place.inline_message_id,
            "kind": shown.kind,
            "caption_id": shown.caption_id,
            "job_id": shown.job_id,
            "unsigned": False,
            "created_at": now(),
        }
        if shown.user_id is None and place.chat_id is not None and place.chat_id > 0:
            upsert, values["number"] = self._upsert_private, place.chat_id
        else:
            upsert = self._upsert if place.inline_message_id is None else self._upsert_inline
            values["user_id"] = shown.user_id
        row = await self._sessions.write(upsert, values)
        if row is None:
            raise NotStored("This person was erased.")
        return made(ShownMessage, row)

    async def find(self, place: MessageKey) -> ShownMessage | None:
        """What this message shows; None: it is none of the bot's that can be pressed or answered."""
        async with self._sessions.reading() as session:
            return await session.scalar(
                select(ShownMessage).where(
                    ShownMessage.inline_message_id == place.inline_message_id
                    if place.inline_message_id is not None
                    else and_(
                        ShownMessage.chat_id == place.chat_id, ShownMessage.message_id == place.message_id
                    )
                )
            )
