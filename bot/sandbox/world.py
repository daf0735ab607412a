"""What the stand-in remembers: people, chats, messages, files, and the updates that wait for the bot.

Everything is kept in the shape in which the Bot API shows it, in memory, for as long as the process lives.
Nothing here is safe to use from another thread.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import itertools
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from bot.sandbox.entities import find_entities
from bot.sandbox.pictures import Sized

Json = dict[str, Any]
T = TypeVar("T")
Falsy = Literal[False] | None  # of a condition that does not hold yet

# Unless a bot asks for them by name, it is not told of these.
_ON_REQUEST = {"chat_member", "message_reaction", "message_reaction_count"}
_PAGE_QUEUE = 1000  # events a page may lag behind before it is told to read everything anew


@dataclass(slots=True)
class StoredFile:
    """A file as Telegram keeps it. `unique_id` follows the content; `file_id` is new for every message."""

    file_id: str
    unique_id: str
    data: bytes
    path: str
    mime_type: str
    name: str | None = None


@dataclass(slots=True)
class Chat:
    """A chat and what was said in it, the oldest first."""

    info: Json
    messages: dict[int, Json] = field(default_factory=dict)
    migrated_to: int | None = None
    topics: dict[int, bool] = field(default_factory=dict)  # of a forum: whether one may write there

    @property
    def id(self) -> int:
        return int(self.info["id"])

    @property
    def private(self) -> bool:
        return bool(self.info["type"] == "private")

    @property
    def forum(self) -> bool:
        """Whether it has topics."""
        return bool(self.info.get("is_forum") or self.topics)


@dataclass(slots=True)
class CallbackState:
    """A pressed button: what the bot answered, or None while it has not."""

    query: Json
    answer: Json | None = None
    expired: bool = False


class World:
    """The state behind the stand-in, with a signal for every change of it."""

    def __init__(self, *, username: str, privacy: bool) -> None:
        # A later start must not give out a message id again that a bot's database still remembers.
        start = int(time.time()) - 1_700_000_000
        self._message_ids = itertools.count(start)
        self._update_ids = itertools.count(start)
        self._file_numbers = itertools.count()
        self._changed = asyncio.Event()
        self._pages: set[asyncio.Queue[Json]] = set()
        self.privacy = privacy
        self.bot: Json = {
            "id": 7_000_000_001,
            "is_bot": True,
            "first_name": "Описатель мемов",
            "username": username,
        }
        self.users: dict[int, Json] = {}
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, StoredFile] = {}
        self.paths: dict[str, StoredFile] = {}
        self.updates: list[Json] = []
        self.allowed_updates: list[str] = []
        self.blocked: set[int] = set()
        self.connections: set[str] = set()  # ids of business connections
        self.callbacks: dict[str, CallbackState] = {}
        self.commands: dict[tuple[str, str], list[Json]] = {}
        self.profile: dict[tuple[str, str], str] = {}
        self.polling = 0  # getUpdates calls that wait right now
        self.online = False  # whether a bot polls or has set a webhook, as the page shows it
        self.stopping = False

    # --- change ---------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Wake everybody who waits for something to happen."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, predicate: Callable[[], T | Falsy], timeout: float | None) -> T:  # noqa: ASYNC109 (its error is told in full)
        """The first true result of `predicate`, tried after every change; TimeoutError after `timeout` s."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            changed = self._changed
            if result := predicate():
                return result
            async with asyncio.timeout_at(deadline):
                await changed.wait()

    def subscribe(self) -> asyncio.Queue[Json]:
        """A queue that gets every event of the chat page; give it back with `unsubscribe`."""
        queue: asyncio.Queue[Json] = asyncio.Queue(_PAGE_QUEUE)
        self._pages.add(queue)
        self.changed()
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Json]) -> None:
        self._pages.discard(queue)

    @property
    def pages(self) -> int:
        """How many pages listen."""
        return len(self._pages)

    def publish(self, event: Json) -> None:
        """Tell the pages and everybody who waits."""
        for queue in self._pages:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait({"type": "reset"})
            else:
                queue.put_nowait(event)
        self.changed()

    def set_online(self, online: bool) -> None:
        """Tell the pages when the bot comes or goes."""
        if online != self.online:
            self.online = online
            self.publish({"type": "bot"})

    # --- people and chats -----------------------------------------------------------------------------------

    def user(self, user_id: int, **fields: Any) -> Json:
        """The person with this id, made when new (Russian, named after the id); `fields` change the card."""
        if user_id not in self.users:
            self.users[user_id] = {
                "id": user_id,
                "is_bot": False,
                "first_name": f"Человек {user_id}",
                "language_code": "ru",
            }
        card = self.users[user_id]
        card.update(fields)
        info = {"id": user_id, "type": "private"}
        info |= {key: card[key] for key in ("first_name", "last_name", "username") if key in card}
        if user_id in self.chats:
            self.chats[user_id].info.update(info)
        else:
            self.chats[user_id] = Chat(info)
        return card

    def group(self, chat_id: int, title: str) -> Chat:
        """The supergroup with this id, made when new."""
        if chat_id not in self.chats:
            self.chats[chat_id] = Chat({"id": chat_id, "type": "supergroup", "title": title})
        return self.chats[chat_id]

    # --- files ----------------------------------------------------------------------------------------------

    def store(
        self, data: bytes, folder: str, suffix: str, mime_type: str, name: str | None = None
    ) -> StoredFile:
        """Keep a file under a new file_id; equal content of one kind has an equal `unique_id`."""
        digest = hashlib.sha256(folder.encode() + b"\0" + data).digest()
        unique = base64.urlsafe_b64encode(b"\x01\x00" + digest[:10]).decode()
        file_id = "AgACAgIAAx" + unique + secrets.token_urlsafe(24)
        path = f"{folder}/file_{next(self._file_numbers)}{suffix}"
        stored = StoredFile(file_id, unique, data, path, mime_type, name)
        self.files[file_id] = stored
        self.paths[path] = stored
        return stored

    def photo(self, sizes: Sequence[Sized]) -> list[Json]:
        """PhotoSize objects, the smallest first."""
        return [self.photo_size(size, "photos") for size in sizes]

    def photo_size(self, size: Sized, folder: str = "thumbnails") -> Json:
        """One PhotoSize object."""
        stored = self.store(size.data, folder, ".jpg", "image/jpeg")
        return {
            "file_id": stored.file_id,
            "file_unique_id": stored.unique_id,
            "file_size": len(size.data),
            "width": size.width,
            "height": size.height,
        }

    @staticmethod
    def file_object(stored: StoredFile, **fields: Any) -> Json:
        """The part that Document, Sticker, Video, Animation and Voice have in common, and `fields`."""
        common: Json = {
            "file_id": stored.file_id,
            "file_unique_id": stored.unique_id,
            "file_size": len(stored.data),
        }
        return {key: value for key, value in fields.items() if value is not None} | common

    # --- messages -------------------------------------------------------------------------------------------

    def find(self, message_id: int, chat_id: int | None = None) -> Json | None:
        """A message by its id (unique in all chats here), in one chat or in any."""
        chats = (
            [self.chats[chat_id]] if chat_id in self.chats else self.chats.values() if chat_id is None else ()
        )
        return next((chat.messages[message_id] for chat in chats if message_id in chat.messages), None)

    def add_message(self, chat: Chat, sender: Json, content: Json, *, reply_to: Json | None = None) -> Json:
        """Put a message into a chat and show it to the pages; it is not sent to the bot yet."""
        message: Json = {
            "message_id": next(self._message_ids),
            "from": dict(sender),
            "chat": dict(chat.info),
            "date": int(time.time()),
        }
        if reply_to is not None:
            message["reply_to_message"] = {
                key: value for key, value in reply_to.items() if key not in ("reply_to_message", "_page")
            }
        message |= content
        chat.messages[message["message_id"]] = message
        self.publish({"type": "message", "message": message})
        return message

    def from_user(self, chat: Chat, user: Json, content: Json, *, reply_to: Json | None = None) -> Json:
        """A message by a person: entities are found, and the bot is told if it may see the message."""
        for text, entities in (("text", "entities"), ("caption", "caption_entities")):
            if content.get(text) and (found := find_entities(content[text])):
                content = {**content, entities: found}
        message = self.add_message(chat, user, content, reply_to=reply_to)
        if self._bot_sees(chat, message):
            self.add_update("message", message)
        return message

    def edit_by_user(self, message: Json, content: Json) -> Json:
        """A part of a person's message is another one now: its text, its caption, its picture."""
        message |= content
        message["edit_date"] = int(time.time())
        for text, entities in (("text", "entities"), ("caption", "caption_entities")):
            message.pop(entities, None)
            if message.get(text) and (found := find_entities(message[text])):
                message[entities] = found
        self.publish({"type": "edit", "message": message})
        if self._bot_sees(self.chats[message["chat"]["id"]], message):
            self.add_update("edited_message", message)
        return message

    def _bot_sees(self, chat: Chat, message: Json) -> bool:
        """Privacy mode: in a group a bot is told of commands, of replies to itself and of its own name."""
        if chat.private or not self.privacy:
            return True
        if message.get("reply_to_message", {}).get("from", {}).get("id") == self.bot["id"]:
            return True
        text = message.get("text") or message.get("caption") or ""
        command = text.split(maxsplit=1)[0] if text.startswith("/") else ""
        name, at, addressee = command.partition("@")
        if len(name) > 1 and (not at or addressee.lower() == str(self.bot["username"]).lower()):
            return True
        return f"@{self.bot['username']}".lower() in text.lower()

    def public(self, message: Json) -> Json:
        """A copy for the Bot API: without what only the page knows."""
        return copy.deepcopy({key: value for key, value in message.items() if key != "_page"})

    # --- updates --------------------------------------------------------------------------------------------

    def add_update(self, kind: str, content: Json) -> None:
        """Queue an update for the bot, if it asked for this kind."""
        wanted = kind in self.allowed_updates if self.allowed_updates else kind not in _ON_REQUEST
        if wanted:
            self.updates.append({"update_id": next(self._update_ids), kind: self.public(content)})
        self.changed()

    def press(self, user: Json, chat: Chat, message: Json, data: str) -> CallbackState:
        """A person presses a button: the bot gets a callback query."""
        query: Json = {
            "id": str(secrets.randbits(62)),
            "from": dict(user),
            "message": self.public(message),
            "chat_instance": str(-(1 << 60) - chat.id),
            "data": data,
        }
        state = CallbackState(query)
        self.callbacks[query["id"]] = state
        self.add_update("callback_query", query)
        return state

    # --- what the bot says of itself ------------------------------------------------------------------------

    def commands_for(self, chat: Chat, language: str) -> list[Json]:
        """The commands a person with this language is offered here: the narrowest scope that has any."""
        general = "all_private_chats" if chat.private else "all_group_chats"
        for scope in ({"type": "chat", "chat_id": chat.id}, {"type": general}, {"type": "default"}):
            for code in (language, ""):
                if found := self.commands.get((scope_key(scope), code)):
                    return found
        return []

    def said(self, what: str, language: str) -> str:
        """The bot's name, description or short description in a language, else in none."""
        return self.profile.get((what, language)) or self.profile.get((what, ""), "")


def scope_key(scope: Json) -> str:
    """A BotCommandScope as a key that does not depend on the order of its fields."""
    return json.dumps(scope, sort_keys=True)
