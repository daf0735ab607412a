"""What people do in the stand-in's chats, the troubles a test makes there, and what came of both: no HTTP."""

from __future__ import annotations

import asyncio
import mimetypes
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bot.sandbox.api import document_object
from bot.sandbox.faults import Call, Fault, FaultKind, Faults, Gate
from bot.sandbox.limits import RateLimits
from bot.sandbox.pictures import photo_sizes, picture_size, thumbnail
from bot.sandbox.world import CallbackState, Chat, Falsy, Json, World

__all__ = ["GROUP", "ME", "Scene"]

T = TypeVar("T")

ME = 5_000_001  # the person whom the page speaks for
GROUP = -1_001_234_567_890


class Scene:
    """The world of one bot, with people and chats that a test or the page plays. Use from one event loop
    only.
    """

    def __init__(self, *, username: str, privacy: bool) -> None:
        self.world = World(username=username, privacy=privacy)
        self.faults = Faults()
        self.limits: RateLimits | None = None  # those of Telegram, where a test wants them
        self.calls: deque[Call] = deque(maxlen=10_000)  # of the Bot API, the oldest first
        self.world.user(ME, first_name="Анна", username="anna", language_code="ru")
        self.world.group(GROUP, "Мемы нашего двора")

    # --- what people do -------------------------------------------------------------------------------------

    def user(self, user_id: int = ME, **fields: Any) -> Json:
        """The person with this id, made when new; fields of `User` (`language_code`...) change the card."""
        return self.world.user(user_id, **fields)

    def group(self, chat_id: int = GROUP, title: str = "Мемы нашего двора") -> Json:
        """The supergroup with this id, made when new."""
        return self.world.group(chat_id, title).info

    def topic(self, chat: int = GROUP) -> int:
        """A new topic in a chat, which becomes a forum by that (in a private chat: one with topics)."""
        place, card = self._place(chat, ME)
        if not place.private:
            place.info["is_forum"] = True
        opened = self.world.add_message(
            place, card, {"forum_topic_created": {"name": "Мемы", "icon_color": 0x6FB9F0}}
        )
        thread = int(opened["message_id"])
        opened |= {"message_thread_id": thread, "is_topic_message": True}
        place.topics[thread] = True
        return thread

    def close_topic(self, thread: int, chat: int = GROUP) -> None:
        """Nobody but admins can write to the topic any more."""
        self.world.chats[chat].topics[thread] = False

    def delete_topic(self, thread: int, chat: int = GROUP) -> None:
        """The topic goes, with all that was said there."""
        place = self.world.chats[chat]
        del place.topics[thread]
        for number, message in list(place.messages.items()):
            if message.get("message_thread_id") == thread:
                del place.messages[number]

    def _place(self, chat: int | None, user: int) -> tuple[Chat, Json]:
        card = self.world.users.get(user) or self.world.user(user)
        if chat is not None and chat not in self.world.chats:
            if chat > 0:
                self.world.user(chat)
            else:
                self.world.group(chat, f"Группа {chat}")
        return self.world.chats[user if chat is None else chat], card

    def _say(
        self,
        content: Json,
        *,
        chat: int | None,
        user: int,
        reply_to: int | None = None,
        caption: str = "",
        forward_origin: Json | None = None,
        group_id: str | None = None,
        thread: int | None = None,
        direct_topic: int | None = None,
        connection: str | None = None,
    ) -> Json:
        place, card = self._place(chat, user)
        answered = place.messages.get(reply_to) if reply_to is not None else None
        if reply_to is not None and answered is None:
            raise ValueError(f"there is no message {reply_to} in chat {place.id}")
        extra: Json = {"caption": caption, "forward_origin": forward_origin, "media_group_id": group_id}
        if thread is not None:
            extra |= {"message_thread_id": thread, "is_topic_message": True}
        if direct_topic is not None:
            place.info["is_direct_messages"] = True
            extra["direct_messages_topic"] = {"topic_id": direct_topic, "user": dict(card)}
        if connection is not None:
            self.world.connections.add(connection)
            extra["business_connection_id"] = connection
        content = content | {key: value for key, value in extra.items() if value}
        return self.world.from_user(place, card, content, reply_to=answered)

    async def send_text(self, text: str, *, chat: int | None = None, user: int = ME, **how: Any) -> Json:
        """A text by a person; `reply_to` (message id) and `forward_origin` as in every send_ method, and
        where it is said: `thread` (a `topic`), `direct_topic` (in a channel's direct messages), `connection`
        (a business connection, made by that).

        `chat` is an id, by default the private chat with `user`. Returns the Message.
        """
        return self._say({"text": text}, chat=chat, user=user, **how)

    async def send_photo(self, data: bytes, *, chat: int | None = None, user: int = ME, **how: Any) -> Json:
        """A photo as Telegram makes it of `data`: JPEG sizes up to 1280 px, upright, without metadata.

        `caption`, `reply_to`, `forward_origin` as everywhere. Raises NotAPhotoError when Telegram would not
        take it.
        """
        sizes = await asyncio.to_thread(photo_sizes, data)
        return self._say({"photo": self.world.photo(sizes)}, chat=chat, user=user, **how)

    async def send_document(
        self,
        data: bytes,
        name: str = "file.bin",
        mime_type: str | None = None,
        *,
        chat: int | None = None,
        user: int = ME,
        **how: Any,
    ) -> Json:
        """A file, its bytes untouched; the type is guessed from the name, as clients do."""
        document = await document_object(self.world, data, name, mime_type or _guess(name))
        return self._say({"document": document}, chat=chat, user=user, **how)

    async def send_album(
        self,
        pictures: Sequence[bytes],
        *,
        as_files: bool = False,
        caption: str = "",
        chat: int | None = None,
        user: int = ME,
        **how: Any,
    ) -> list[Json]:
        """Two to ten pictures under one media_group_id, an update each; the caption stands on the first."""
        if not 2 <= len(pictures) <= 10:
            raise ValueError("an album holds 2 to 10 pictures")
        group_id = str(secrets.randbits(53))
        album = []
        for number, data in enumerate(pictures):
            options = how | {
                "caption": "" if number else caption,
                "group_id": group_id,
                "chat": chat,
                "user": user,
            }
            if as_files:
                album.append(await self.send_document(data, f"picture_{number}.jpg", **options))
            else:
                album.append(await self.send_photo(data, **options))
        return album

    async def send_sticker(
        self,
        data: bytes,
        *,
        animated: bool = False,
        video: bool = False,
        chat: int | None = None,
        user: int = ME,
        **how: Any,
    ) -> Json:
        """A sticker: WebP, or `animated` (.tgs) or `video` (.webm)."""
        suffix, mime = (".tgs", "application/x-tgsticker") if animated else (".webp", "image/webp")
        if video:
            suffix, mime = ".webm", "video/webm"
        stored = self.world.store(data, "stickers", suffix, mime)
        known = picture_size(data)
        small = thumbnail(data)
        sticker = self.world.file_object(
            stored,
            type="regular",
            width=known[1] if known else 512,
            height=known[2] if known else 512,
            is_animated=animated,
            is_video=video,
            emoji="🙂",
            thumbnail=self.world.photo_size(small) if small else None,
        )
        return self._say({"sticker": sticker}, chat=chat, user=user, **how)

    async def send_animation(
        self,
        data: bytes,
        name: str = "animation.mp4",
        *,
        chat: int | None = None,
        user: int = ME,
        **how: Any,
    ) -> Json:
        """An animation (as in Telegram the message has a `document` of the same file beside it)."""
        mime = _guess(name)
        stored = self.world.store(data, "animations", "." + name.rpartition(".")[2], mime, name)
        known = picture_size(data)
        small = await asyncio.to_thread(thumbnail, data)
        still = self.world.photo_size(small) if small else None
        animation = self.world.file_object(
            stored,
            width=known[1] if known else 480,
            height=known[2] if known else 270,
            duration=2,
            file_name=name,
            mime_type=mime,
            thumbnail=still,
        )
        document = self.world.file_object(stored, file_name=name, mime_type=mime, thumbnail=still)
        return self._say({"animation": animation, "document": document}, chat=chat, user=user, **how)

    async def send_video(
        self, data: bytes, name: str = "video.mp4", *, chat: int | None = None, user: int = ME, **how: Any
    ) -> Json:
        """A video; nothing is decoded, so it has no thumbnail."""
        stored = self.world.store(data, "videos", ".mp4", _guess(name), name)
        video = self.world.file_object(
            stored, width=640, height=360, duration=5, file_name=name, mime_type=_guess(name)
        )
        return self._say({"video": video}, chat=chat, user=user, **how)

    async def send_voice(self, data: bytes, *, chat: int | None = None, user: int = ME, **how: Any) -> Json:
        """A voice message."""
        stored = self.world.store(data, "voice", ".oga", "audio/ogg")
        voice = self.world.file_object(stored, duration=3, mime_type="audio/ogg")
        return self._say({"voice": voice}, chat=chat, user=user, **how)

    async def send_raw(self, content: Json, *, chat: int | None = None, user: int = ME, **how: Any) -> Json:
        """Any other content, in the Bot API's shape: `{"location": {...}}`, `{"contact": {...}}`."""
        return self._say(content, chat=chat, user=user, **how)

    def edit_text(self, message_id: int, text: str) -> Json:
        """A person changes a text of theirs; the bot gets an `edited_message`. ValueError: there is none."""
        message = self.world.find(message_id)
        if message is None or "text" not in message or message["from"]["is_bot"]:
            raise ValueError(f"message {message_id} is no text of a person")
        return self.edit(message, {"text": text})

    def edit(self, message: Json, content: Json) -> Json:
        """A person changes a part of a message of theirs (see `send_raw`); the bot is told of it."""
        place = self.world.chats[message["chat"]["id"]]
        return self.world.edit_by_user(place.messages[message["message_id"]], content)

    def press(
        self, message_id: int, data: str, *, user: int = ME, chat: int | None = None, stale: bool = False
    ) -> CallbackState:
        """A person presses the inline button with this callback_data; `.answer` of the result is the bot's.

        Raises ValueError when the message has no such button, unless `stale`: an old client may show one.
        """
        message = self.world.find(message_id, chat)
        if message is None:
            raise ValueError(f"there is no message {message_id}")
        if not stale and data not in [button.get("callback_data") for button in buttons(message)]:
            raise ValueError(f"message {message_id} has no button with the data {data!r}")
        _, card = self._place(None, user)
        return self.world.press(card, self.world.chats[message["chat"]["id"]], message, data)

    def block(self, user: int = ME, *, blocked: bool = True) -> None:
        """A person blocks the bot (every send to them answers 403), or takes it back."""
        chat, card = self._place(None, user)
        (self.world.blocked.add if blocked else self.world.blocked.discard)(user)
        states: list[Json] = [
            {"user": self.world.bot, "status": "member"},
            {"user": self.world.bot, "status": "kicked", "until_date": 0},
        ]
        old, new = states if blocked else reversed(states)
        self.world.add_update(
            "my_chat_member",
            {"chat": chat.info, "from": card, "date": 0, "old_chat_member": old, "new_chat_member": new},
        )

    def migrate(self, old: int, new: int) -> None:
        """A group becomes a supergroup with another id; sends to the old id are refused with the new one."""
        chat, card = self._place(old, ME)
        self.world.group(new, str(chat.info.get("title", "")))
        self.world.from_user(chat, card, {"migrate_to_chat_id": new})
        chat.migrated_to = new

    # --- what a test looks at -------------------------------------------------------------------------------

    def messages(self, chat: int = ME, *, by_bot: bool | None = None) -> list[Json]:
        """The messages of a chat as they are now, the oldest first; `by_bot` keeps one side's only."""
        if chat not in self.world.chats:
            return []
        messages = list(self.world.chats[chat].messages.values())
        return [message for message in messages if by_bot is None or message["from"]["is_bot"] is by_bot]

    def calls_of(self, method: str) -> list[Call]:
        """The calls of one method so far ("download" for files), the oldest first."""
        return [call for call in self.calls if call.method.lower() == method.lower()]

    def file_bytes(self, file_id: str) -> bytes:
        """The content of a file in a message; KeyError when there is none."""
        return self.world.files[file_id].data

    async def wait_for(self, predicate: Callable[[], T | Falsy], timeout: float = 120.0) -> T:  # noqa: ASYNC109 (its error is told in full)
        """The first true result of `predicate`, looked at after every change here.

        Raises TimeoutError after `timeout` s, with what was said and called until then.
        """
        try:
            return await self.world.wait_for(predicate, timeout)
        except TimeoutError:
            raise TimeoutError(f"not within {timeout} s; {self._story()}") from None

    def _story(self) -> str:
        said = [
            f"{chat.id}/{message['message_id']} {message['from']['first_name']}: "
            f"{message.get('text') or message.get('caption') or list(message)[4:]}"[:120].replace("\n", " ")
            for chat in self.world.chats.values()
            for message in list(chat.messages.values())[-12:]
        ]
        called = [f"{call.method} -> {call.status} {call.description}" for call in list(self.calls)[-15:]]
        return "messages:\n" + "\n".join(said) + "\nlast calls:\n" + "\n".join(called)

    # --- troubles -------------------------------------------------------------------------------------------

    def fail(self, method: str, kind: FaultKind, times: int = 1, **details: Any) -> None:
        """The next `times` calls of `method` ("*": of any, "download": of files) fail; kinds: see `Fault`."""
        self.faults.add(Fault(method, kind, times, **details))

    def hold(self, method: str) -> Gate:
        """Calls of `method` wait until `.release()` of the result; wait for `.arrived` to act in between."""
        gate = Gate(method)
        self.faults.gates.append(gate)
        return gate

    def expire_callbacks(self) -> None:
        """Every button pressed so far is too old to be answered."""
        for state in self.world.callbacks.values():
            state.expired = True


def buttons(message: Json) -> list[Json]:
    """The inline buttons of a message, row by row."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
