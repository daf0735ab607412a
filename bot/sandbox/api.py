"""The methods of the Bot API, as the real server answers them, over a `World`.

Every method takes the parameters of one call (values are strings, or what JSON holds) and returns the
`result` of the answer. What the stand-in does not know is refused with the server's own error, never accepted
in silence.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bot.sandbox.entities import ParseError, clean, parse_html, utf16_length
from bot.sandbox.pictures import NotAPhotoError, photo_sizes, thumbnail
from bot.sandbox.world import Chat, Json, StoredFile, World, scope_key

MAX_TEXT = 4096  # after entities parsing
MAX_CAPTION = 1024
MAX_CALLBACK_DATA = 64  # bytes of UTF-8
MAX_COPIED = 256  # characters that a button copies
MAX_DOWNLOAD = 20 * 1024 * 1024
MAX_UPLOAD = 50 * 1024 * 1024
MAX_PHOTO = 10 * 1024 * 1024
_BUTTON_ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)
_CHAT_ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
_TRUE = {"true", "1", "yes", True}


class ApiError(Exception):
    """An answer with ok = false."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters

    def body(self) -> Json:
        """The JSON that the server sends."""
        answer: Json = {"ok": False, "error_code": self.code, "description": self.description}
        return answer | ({"parameters": self.parameters} if self.parameters else {})


class BadRequestError(ApiError):
    def __init__(self, reason: str, **parameters: Any) -> None:
        super().__init__(400, f"Bad Request: {reason}", **parameters)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in with a call."""

    name: str
    mime_type: str
    data: bytes


class Params:
    """The parameters of one call, read by type; a wrong one is a BadRequestError."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        return default if value is None or isinstance(value, Upload) else str(value)

    def number(self, name: str, default: int = 0) -> int:
        value = self.values.get(name)
        try:
            return default if value in (None, "") else int(str(value))
        except ValueError as error:
            raise BadRequestError(f"parameter {name} must be an integer") from error

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        return (value.lower() if isinstance(value, str) else value) in _TRUE

    def parsed(self, name: str) -> Any:
        """A parameter that holds JSON, or None."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError as error:
            raise BadRequestError(f"can't parse {name} JSON object") from error

    def mapping(self, name: str) -> Json:
        value = self.parsed(name)
        if value is not None and not isinstance(value, dict):
            raise BadRequestError(f"can't parse {name}: Object expected")
        return value or {}

    def sequence(self, name: str) -> list[Any]:
        value = self.parsed(name)
        if value is not None and not isinstance(value, list):
            raise BadRequestError(f"can't parse {name}: Array expected")
        return value or []


Method = Callable[[Params], Awaitable[Any]]


class BotApi:
    """All methods, found without regard to case as on the real server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._poller = 0
        self._webhook: Json = {}
        self._webhook_error: Json = {}
        self._methods: dict[str, Method] = {
            "getme": self._get_me,
            "getupdates": self._get_updates,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._get_webhook_info,
            "sendmessage": self._send_message,
            "sendphoto": self._send_photo,
            "senddocument": self._send_document,
            "sendchataction": self._send_chat_action,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagereplymarkup": self._edit_markup,
            "deletemessage": self._delete_message,
            "deletemessages": self._delete_messages,
            "deletebusinessmessages": self._delete_business_messages,
            "answercallbackquery": self._answer_callback,
            "getfile": self._get_file,
            "getchat": self._get_chat,
            "getchatmember": self._get_chat_member,
            "setmycommands": self._set_commands,
            "getmycommands": self._get_commands,
            "deletemycommands": self._delete_commands,
            "setmyname": self._setter("name"),
            "getmyname": self._getter("name"),
            "setmydescription": self._setter("description"),
            "getmydescription": self._getter("description"),
            "setmyshortdescription": self._setter("short_description"),
            "getmyshortdescription": self._getter("short_description"),
            "setchatmenubutton": self._accept,
            "setmydefaultadministratorrights": self._accept,
            "logout": self._accept,
            "close": self._accept,
        }

    async def call(self, method: str, values: Mapping[str, Any]) -> Any:
        """The result of one call; raises ApiError."""
        handler = self._methods.get(method.lower())
        if handler is None:
            raise ApiError(404, "Not Found: method not found")
        return await handler(Params(values))

    # --- updates --------------------------------------------------------------------------------------------

    async def _get_me(self, _: Params) -> Json:
        return self._world.bot | {
            "can_join_groups": True,
            "can_read_all_group_messages": not self._world.privacy,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }

    def _set_allowed(self, params: Params) -> None:
        if "allowed_updates" in params.values:
            self._world.allowed_updates = [str(kind) for kind in params.sequence("allowed_updates")]

    async def _get_updates(self, params: Params) -> list[Json]:
        world = self._world
        if self._webhook:
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        self._set_allowed(params)
        self._poller += 1
        mine = self._poller
        offset = params.number("offset")
        if offset > 0:
            world.updates[:] = [update for update in world.updates if update["update_id"] >= offset]
        elif offset < 0:
            del world.updates[: max(0, len(world.updates) + offset)]
        limit = min(100, max(1, params.number("limit", 100) or 100))
        timeout = min(50, max(0, params.number("timeout")))
        world.polling += 1
        world.set_online(True)
        world.changed()  # ends the wait of an older poller
        try:
            await world.wait_for(
                lambda: bool(world.updates) or world.stopping or self._poller != mine, timeout
            )
        except TimeoutError:
            return []
        finally:
            world.polling -= 1
        if self._poller != mine:
            raise ApiError(
                409,
                "Conflict: terminated by other getUpdates request; "
                "make sure that only one bot instance is running",
            )
        return world.updates[:limit]

    async def _set_webhook(self, params: Params) -> bool:
        url = params.text("url")
        if not url:
            return await self._delete_webhook(params)
        host = urlsplit(url).hostname or ""
        if not _loopback(host):
            # The real server wants a public https address; a stand-in must never send anything out.
            raise BadRequestError("bad webhook: the sandbox delivers to loopback addresses only")
        self._set_allowed(params)
        if params.flag("drop_pending_updates"):
            self._world.updates.clear()
        self._webhook = {
            "url": url,
            "secret_token": params.text("secret_token"),
            "max_connections": params.number("max_connections", 40),
        }
        self._webhook_error = {}
        self._world.set_online(True)
        self._world.changed()
        return True

    async def _delete_webhook(self, params: Params) -> bool:
        self._webhook = {}
        if params.flag("drop_pending_updates"):
            self._world.updates.clear()
        return True

    async def _get_webhook_info(self, _: Params) -> Json:
        info: Json = {
            "url": self._webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(self._world.updates),
        }
        if self._webhook:
            info["max_connections"] = self._webhook["max_connections"]
        if self._world.allowed_updates:
            info["allowed_updates"] = self._world.allowed_updates
        return info | self._webhook_error

    @property
    def webhook(self) -> Json:
        """The webhook in force (`url`, `secret_token`), or an empty object."""
        return self._webhook

    def webhook_failed(self, reason: str) -> None:
        """Remember for getWebhookInfo why an update could not be delivered."""
        self._webhook_error = {"last_error_date": int(time.time()), "last_error_message": reason}

    # --- sending --------------------------------------------------------------------------------------------

    def _chat(self, params: Params) -> Chat:
        world = self._world
        name = params.text("chat_id")
        if not name:
            raise BadRequestError("chat_id is empty")
        try:
            chat = world.chats.get(int(name))
        except ValueError:
            chat = None
        if chat is None:
            raise BadRequestError("chat not found")
        if chat.migrated_to is not None:
            raise BadRequestError(
                "group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.migrated_to
            )
        if chat.id in world.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return chat

    def _formatted(
        self, params: Params, name: str, entities_name: str, limit: int, too_long: str
    ) -> tuple[str, list[Json]]:
        text = params.text(name)
        mode = params.text("parse_mode").lower()
        if mode == "html":
            try:
                text, entities = parse_html(text)
            except ParseError as error:
                raise BadRequestError(f"can't parse entities: {error}") from error
        elif mode:
            raise BadRequestError("unsupported parse_mode")  # Markdown is not spoken here
        else:
            entities = [dict(entity) for entity in params.sequence(entities_name)]
        text, entities = clean(text, entities)
        # Counted in UTF-16 units, the strictest reading of "characters": what passes here passes everywhere.
        if utf16_length(text) > limit:
            raise BadRequestError(too_long)
        return text, entities

    def _text(self, params: Params) -> Json:
        text, entities = self._formatted(params, "text", "entities", MAX_TEXT, "message is too long")
        if not text:
            raise BadRequestError("message text is empty")
        content: Json = {"text": text} | ({"entities": entities} if entities else {})
        if preview := params.mapping("link_preview_options"):
            content["link_preview_options"] = preview
        return content

    def _caption(self, params: Params) -> Json:
        text, entities = self._formatted(
            params, "caption", "caption_entities", MAX_CAPTION, "message caption is too long"
        )
        content: Json = {"caption": text} if text else {}
        return content | ({"caption_entities": entities} if entities else {})

    def _reply_to(self, params: Params, chat: Chat) -> Json | None:
        reply = params.mapping("reply_parameters")
        if not reply:
            if not (legacy := params.number("reply_to_message_id")):
                return None
            reply = {
                "message_id": legacy,
                "allow_sending_without_reply": params.flag("allow_sending_without_reply"),
            }
        try:
            wanted = int(reply.get("message_id", 0))
        except (TypeError, ValueError) as error:
            raise BadRequestError(
                'can\'t parse reply parameters: Field "message_id" must be a Number'
            ) from error
        found = chat.messages.get(wanted)
        # In a forum the real server does as if allow_sending_without_reply were false.
        if found is None and (chat.forum or not reply.get("allow_sending_without_reply")):
            raise BadRequestError("message to be replied not found")
        return found

    def _where(self, params: Params, chat: Chat, reply: Json | None) -> Json:
        """The part of the chat to which a message goes, as the fields of the message that say so."""
        where: Json = {}
        if connection := self._connection(params):
            where["business_connection_id"] = connection
        thread = params.number("message_thread_id")
        if not thread and reply is not None and reply.get("is_topic_message"):
            thread = int(reply["message_thread_id"])  # an answer stands where the answered message does
        if thread:
            _check_topic(chat, thread)
            where |= {"message_thread_id": thread, "is_topic_message": True}
        if chat.info.get("is_direct_messages"):
            topic = params.number("direct_messages_topic_id")
            if not topic:
                raise BadRequestError("direct messages topic must be specified")
            where["direct_messages_topic"] = {"topic_id": topic}
        return where

    def _connection(self, params: Params) -> str:
        connection = params.text("business_connection_id")
        if connection and connection not in self._world.connections:
            raise BadRequestError("business connection not found")
        return connection

    def _markup(self, params: Params) -> tuple[Json, Json]:
        """What of reply_markup shows in the message, and what only the person's client is told."""
        markup = params.mapping("reply_markup")
        if not markup:
            return {}, {}
        if "inline_keyboard" in markup:
            rows = [[_button(button) for button in row] for row in markup["inline_keyboard"]]
            rows = [row for row in rows if row]
            return ({"reply_markup": {"inline_keyboard": rows}} if rows else {}), {}
        if markup.get("force_reply"):
            placeholder = str(markup.get("input_field_placeholder") or "")
            if len(placeholder) > 64:
                raise BadRequestError("input field placeholder is too long")
            return {}, {"_page": {"force_reply": True, "placeholder": placeholder}}
        if "keyboard" in markup or "remove_keyboard" in markup:
            return {}, {}
        raise BadRequestError("can't parse reply keyboard markup JSON object")

    def _send(self, params: Params, chat: Chat, content: Json, reply: Json | None) -> Json:
        shown, page = self._markup(params)
        content = content | shown | page | self._where(params, chat, reply)
        message = self._world.add_message(chat, self._world.bot, content, reply_to=reply)
        return self._world.public(message)

    async def _send_message(self, params: Params) -> Json:
        chat = self._chat(params)
        content = self._text(params)
        return self._send(params, chat, content, self._reply_to(params, chat))

    def _file(self, params: Params, name: str) -> Upload | StoredFile:
        value = params.values.get(name)
        if isinstance(value, str) and value.startswith("attach://"):
            value = params.values.get(value.removeprefix("attach://"))
        if isinstance(value, Upload):
            if not value.data:
                raise BadRequestError("file must be non-empty")
            if len(value.data) > MAX_UPLOAD:
                raise ApiError(413, "Request Entity Too Large")
            return value
        if isinstance(value, str) and (stored := self._world.files.get(value)):
            return stored
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            raise BadRequestError("failed to get HTTP URL content")  # nothing is fetched from anywhere
        if value:
            raise BadRequestError("wrong remote file identifier specified: can't unserialize it")
        raise BadRequestError(f"there is no {name} in the request")

    async def _send_photo(self, params: Params) -> Json:
        chat = self._chat(params)
        source = self._file(params, "photo")
        content = self._caption(params)
        reply = self._reply_to(params, chat)
        if len(source.data) > MAX_PHOTO:
            raise BadRequestError(f"too big file; max photo size is {MAX_PHOTO}")
        try:
            sizes = await asyncio.to_thread(photo_sizes, source.data)
        except NotAPhotoError as error:
            raise BadRequestError(str(error)) from error
        return self._send(params, chat, {"photo": self._world.photo(sizes)} | content, reply)

    async def _send_document(self, params: Params) -> Json:
        chat = self._chat(params)
        source = self._file(params, "document")
        content = self._caption(params)
        reply = self._reply_to(params, chat)
        document = await document_object(self._world, source.data, source.name or "file", source.mime_type)
        return self._send(params, chat, {"document": document} | content, reply)

    async def _send_chat_action(self, params: Params) -> bool:
        chat = self._chat(params)
        action = params.text("action")
        self._connection(params)
        if chat.info.get("is_direct_messages"):
            raise BadRequestError("chat actions are not shown in direct messages")
        if thread := params.number("message_thread_id"):
            _check_topic(chat, thread, to_write=False)
        if action not in _CHAT_ACTIONS:
            raise BadRequestError("wrong parameter action in request")
        self._world.publish({"type": "action", "chat_id": chat.id, "action": action})
        return True

    # --- editing --------------------------------------------------------------------------------------------

    def _own_message(self, params: Params, what: str = "edit") -> Json:
        chat = self._chat(params)
        message = chat.messages.get(params.number("message_id"))
        if message is None or message.get("business_connection_id", "") != self._connection(params):
            raise BadRequestError(f"message to {what} not found")
        if message["from"]["id"] != self._world.bot["id"] and what == "edit":
            raise BadRequestError("message can't be edited")
        return message

    def _edit(self, message: Json, params: Params, content: Json, replaced: tuple[str, ...]) -> Json:
        shown, _ = self._markup(params)
        before = {key: message.get(key) for key in (*replaced, "reply_markup")}
        after = {key: (content | shown).get(key) for key in (*replaced, "reply_markup")}
        if before == after:
            raise BadRequestError(
                "message is not modified: specified new message content and reply markup are exactly the "
                "same as a current content and reply markup of the message"
            )
        for key, value in after.items():
            if value is None:
                message.pop(key, None)
            else:
                message[key] = value
        message["edit_date"] = int(time.time())
        self._world.publish({"type": "edit", "message": message})
        return self._world.public(message)

    async def _edit_text(self, params: Params) -> Json:
        message = self._own_message(params)
        if "text" not in message:
            raise BadRequestError("there is no text in the message to edit")
        return self._edit(message, params, self._text(params), ("text", "entities", "link_preview_options"))

    async def _edit_caption(self, params: Params) -> Json:
        message = self._own_message(params)
        if not {"photo", "document"} & message.keys():
            raise BadRequestError("there is no caption in the message to edit")
        return self._edit(message, params, self._caption(params), ("caption", "caption_entities"))

    async def _edit_markup(self, params: Params) -> Json:
        return self._edit(self._own_message(params), params, {}, ())

    def _delete(self, chat: Chat, message_id: int) -> bool:
        if message_id not in chat.messages:
            return False
        del chat.messages[message_id]
        self._world.publish({"type": "delete", "chat_id": chat.id, "message_id": message_id})
        return True

    async def _delete_message(self, params: Params) -> bool:
        chat = self._chat(params)
        message = chat.messages.get(params.number("message_id"), {})
        if message.get("business_connection_id") or not self._delete(chat, params.number("message_id")):
            raise BadRequestError("message to delete not found")
        return True

    async def _delete_business_messages(self, params: Params) -> bool:
        connection = self._connection(params)
        for message_id in map(int, params.sequence("message_ids")):
            for chat in self._world.chats.values():
                message = chat.messages.get(message_id)
                if message is not None and message.get("business_connection_id") == connection:
                    self._delete(chat, message_id)
        return True

    async def _delete_messages(self, params: Params) -> bool:
        chat = self._chat(params)
        for message_id in params.sequence("message_ids"):
            self._delete(chat, int(message_id))
        return True

    async def _answer_callback(self, params: Params) -> bool:
        state = self._world.callbacks.get(params.text("callback_query_id"))
        if state is None or state.expired or state.answer is not None:
            raise BadRequestError("query is too old and response timeout expired or query ID is invalid")
        text = params.text("text")
        if len(text) > 200:
            raise BadRequestError("MESSAGE_TOO_LONG")
        state.answer = {"text": text, "show_alert": params.flag("show_alert")}
        self._world.publish({"type": "answer", "callback_query_id": state.query["id"], **state.answer})
        return True

    # --- files and chats ------------------------------------------------------------------------------------

    async def _get_file(self, params: Params) -> Json:
        stored = self._world.files.get(params.text("file_id"))
        if stored is None:
            raise BadRequestError("invalid file_id")
        if len(stored.data) > MAX_DOWNLOAD:
            raise BadRequestError("file is too big")
        return self._world.file_object(stored, file_path=stored.path)

    async def _get_chat(self, params: Params) -> Json:
        return self._chat(params).info | {"accent_color_id": 0, "max_reaction_count": 11}

    async def _get_chat_member(self, params: Params) -> Json:
        chat = self._chat(params)
        user_id = params.number("user_id")
        user = self._world.bot if user_id == self._world.bot["id"] else self._world.users.get(user_id)
        if user is None or (chat.private and user_id not in (chat.id, self._world.bot["id"])):
            raise BadRequestError("user not found")
        return {"user": user, "status": "member"}

    # --- what the bot says of itself ------------------------------------------------------------------------

    def _command_key(self, params: Params) -> tuple[str, str]:
        return scope_key(params.mapping("scope") or {"type": "default"}), params.text("language_code")

    async def _set_commands(self, params: Params) -> bool:
        commands = params.sequence("commands")
        if len(commands) > 100:
            raise BadRequestError("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            name, description = str(command.get("command", "")), str(command.get("description", ""))
            if not (
                name.isascii()
                and name.replace("_", "a").isalnum()
                and name == name.lower()
                and len(name) <= 32
            ):
                raise BadRequestError("BOT_COMMAND_INVALID")
            if not 1 <= len(description) <= 256:
                raise BadRequestError("BOT_COMMAND_DESCRIPTION_INVALID")
        self._world.commands[self._command_key(params)] = commands
        self._world.publish({"type": "bot"})
        return True

    async def _get_commands(self, params: Params) -> list[Json]:
        return self._world.commands.get(self._command_key(params), [])

    async def _delete_commands(self, params: Params) -> bool:
        self._world.commands.pop(self._command_key(params), None)
        return True

    def _setter(self, what: str) -> Method:
        limit = {"name": 64, "description": 512, "short_description": 120}[what]

        async def setter(params: Params) -> bool:
            value = params.text(what)
            if len(value) > limit:
                raise BadRequestError(f"bot {what.replace('_', ' ')} is too long")
            self._world.profile[what, params.text("language_code")] = value
            self._world.publish({"type": "bot"})
            return True

        return setter

    def _getter(self, what: str) -> Method:
        async def getter(params: Params) -> Json:
            return {what: self._world.said(what, params.text("language_code"))}

        return getter

    async def _accept(self, _: Params) -> bool:
        return True


async def document_object(world: World, data: bytes, name: str, mime_type: str) -> Json:
    """A Document, with a thumbnail where the file is a picture."""
    suffix = "." + name.rpartition(".")[2] if "." in name else ""
    stored = world.store(data, "documents", suffix if suffix[1:].isalnum() else "", mime_type, name)
    small = await asyncio.to_thread(thumbnail, data) if mime_type.startswith("image/") else None
    return world.file_object(
        stored, file_name=name, mime_type=mime_type, thumbnail=world.photo_size(small) if small else None
    )


def _button(button: Any) -> Json:
    if not isinstance(button, dict) or not button.get("text"):
        raise BadRequestError('can\'t parse inline keyboard button: Field "text" must be non-empty')
    actions = [action for action in _BUTTON_ACTIONS if button.get(action) is not None]
    if not actions:
        raise BadRequestError(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    if (data := button.get("callback_data")) is not None and not (
        1 <= len(str(data).encode()) <= MAX_CALLBACK_DATA
    ):
        raise BadRequestError("BUTTON_DATA_INVALID")
    if (copied := button.get("copy_text")) is not None and not (
        isinstance(copied, dict) and 1 <= len(str(copied.get("text", ""))) <= MAX_COPIED
    ):
        raise BadRequestError("BUTTON_COPY_TEXT_INVALID")
    return {key: value for key, value in button.items() if value is not None}


def _check_topic(chat: Chat, thread: int, *, to_write: bool = True) -> None:
    if thread not in chat.topics:
        raise BadRequestError("message thread not found")
    if to_write and not chat.topics[thread]:
        raise BadRequestError("TOPIC_CLOSED")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
