"""The stand-in itself: `Sandbox` serves the Bot API and the chat page, and is what tests and `bot run` drive.

`/bot<token>/<method>` and `/file/bot<token>/<path>` are the Bot API; the rest is the chat page (`page.py`).
Only the page's own origin and callers without one (programs) are served, under a loopback name, so that no
other site can reach the server through somebody's browser.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import mimetypes
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from bot.sandbox.api import MAX_UPLOAD, ApiError, BotApi, Upload, document_object
from bot.sandbox.faults import DOWNLOAD, Call, Fault, FaultKind, Faults, Gate
from bot.sandbox.page import ME, ChatPage
from bot.sandbox.pictures import photo_sizes, picture_size, thumbnail
from bot.sandbox.world import CallbackState, Chat, Json, World

__all__ = ["ME", "Call", "Gate", "Sandbox"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

GROUP = -1_001_234_567_890
_OFFLINE_AFTER = 3.0  # s without a poll until the page says that no bot is there
_WEBHOOK_RETRY = 1.0  # s
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sandbox:
    """A Bot API server for one bot, with people and chats that a test or the page plays.

    Use from one event loop only. `start` binds the port (0: a free one); `.url` is what `BOT_API_URL` is set
    to, `.token` what `BOT_TOKEN` is.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        token: str | None = None,
        username: str = "meme_describer_bot",
        privacy: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.world = World(username=username, privacy=privacy)
        self.token = token or f"{self.world.bot['id']}:{secrets.token_urlsafe(26)[:35]}"
        self.api = BotApi(self.world)
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=10_000)
        self._runner: web.AppRunner | None = None
        self._webhook_task: asyncio.Task[None] | None = None
        self._offline: asyncio.TimerHandle | None = None
        self.world.user(ME, first_name="Анна", username="anna", language_code="ru")
        self.world.group(GROUP, "Мемы нашего двора")

    # --- life -----------------------------------------------------------------------------------------------

    async def start(self) -> Sandbox:
        """Bind the port and serve. Raises OSError when the port is taken."""
        # From the page ten files of the largest size may come at once.
        app = web.Application(client_max_size=MAX_UPLOAD * 11, middlewares=[self._guard])
        app.add_routes(
            [
                web.route("*", "/bot{token}/{method}", self._bot_method),
                web.get("/file/bot{token}/{path:.+}", self._bot_file),
                *ChatPage(self).routes(),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError:
            await runner.cleanup()
            raise
        if not _is_loopback(self.host) and self.host != "localhost":
            logger.warning("The sandbox listens on %s: whoever reaches this address can use it.", self.host)
        self._runner = runner
        self.port = int(runner.addresses[0][1])
        self._webhook_task = asyncio.create_task(self._deliver_webhooks())
        return self

    async def stop(self) -> None:
        """End every waiting poll and page, and free the port."""
        self.world.stopping = True
        self.faults.clear()
        self.world.publish({"type": "stop"})
        if self._offline:
            self._offline.cancel()
        if self._webhook_task:
            self._webhook_task.cancel()
            await asyncio.gather(self._webhook_task, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Sandbox:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def online(self) -> bool:
        """Whether a bot waits for updates right now, or has set a webhook."""
        return bool(self.world.polling or self.api.webhook)

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        host = "127.0.0.1" if self.host in ("", "0.0.0.0") else self.host  # noqa: S104 (compared, not bound)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    # --- what people do -------------------------------------------------------------------------------------

    def user(self, user_id: int = ME, **fields: Any) -> Json:
        """The person with this id, made when new; fields of `User` (`language_code`...) change the card."""
        return self.world.user(user_id, **fields)

    def group(self, chat_id: int = GROUP, title: str = "Мемы нашего двора") -> Json:
        """The supergroup with this id, made when new."""
        return self.world.group(chat_id, title).info

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
    ) -> Json:
        place, card = self._place(chat, user)
        answered = place.messages.get(reply_to) if reply_to is not None else None
        if reply_to is not None and answered is None:
            raise ValueError(f"there is no message {reply_to} in chat {place.id}")
        extra = {"caption": caption, "forward_origin": forward_origin, "media_group_id": group_id}
        content = content | {key: value for key, value in extra.items() if value}
        return self.world.from_user(place, card, content, reply_to=answered)

    async def send_text(self, text: str, *, chat: int | None = None, user: int = ME, **how: Any) -> Json:
        """A text by a person; `reply_to` (message id) and `forward_origin` as in every send_ method.

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
        return self.world.edit_by_user(message, text)

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

    async def wait_for(self, predicate: Callable[[], T], timeout: float = 120.0) -> T:  # noqa: ASYNC109 (its error is told in full)
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

    # --- the Bot API over HTTP ------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not self._own(request):
            return web.Response(
                status=403, text="This address serves its own page and programs on this machine.\n"
            )
        return await handler(request)

    def _own(self, request: web.Request) -> bool:
        """Not asked for by another site through a browser, nor under a name that is not this machine's."""
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        if name not in ("localhost", self.host) and not _is_loopback(name):
            return False
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
            return False
        site = request.headers.get("Sec-Fetch-Site", "none")
        return site in ("none", "same-origin") or (request.method == "GET" and request.path == "/")

    async def _bot_method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if refusal := self._unauthorized(request):
            return refusal
        try:
            values = await _parameters(request)
        except (ValueError, UnicodeDecodeError):
            return _answer_error(ApiError(400, "Bad Request: can't parse the request"))
        return await self._metered(request, method, values, lambda: self._called(method, values))

    async def _called(self, method: str, values: Mapping[str, Any]) -> web.Response:
        if method.lower() == "getupdates" and self._offline:
            self._offline.cancel()
        try:
            return web.json_response({"ok": True, "result": await self.api.call(method, values)})
        finally:
            if method.lower() == "getupdates":
                loop = asyncio.get_running_loop()
                if self._offline:
                    self._offline.cancel()
                self._offline = loop.call_later(_OFFLINE_AFTER, self._say_offline)

    def _say_offline(self) -> None:
        if not self.online:
            self.world.set_online(False)

    async def _bot_file(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._unauthorized(request):
            return refusal
        path = request.match_info["path"]

        async def fetch() -> web.Response:
            stored = self.world.paths.get(path)
            if stored is None:
                raise ApiError(404, "Not Found")
            return web.Response(body=stored.data, content_type="application/octet-stream")

        return await self._metered(request, DOWNLOAD, {"path": path}, fetch)

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        token = request.match_info["token"]
        if secrets.compare_digest(token.encode(), self.token.encode()):
            return None
        number, colon, secret = token.partition(":")
        known_shape = number.isdigit() and colon and secret
        return _answer_error(ApiError(401, "Unauthorized") if known_shape else ApiError(404, "Not Found"))

    async def _metered(
        self,
        request: web.Request,
        method: str,
        values: Mapping[str, Any],
        work: Callable[[], Awaitable[web.Response]],
    ) -> web.StreamResponse:
        """Log the call, let it meet its gate and its fault, and answer."""
        call = Call(method, {key: _loggable(value) for key, value in values.items()}, _now())
        self.calls.append(call)
        self.world.changed()
        if gate := self.faults.gate(method):
            gate.arrived += 1
            self.world.changed()
            await gate.opened.wait()
        fault = self.faults.take(method)
        try:
            if fault and (error := fault.error()):
                raise error
            if fault and fault.kind == "reset":
                return _break(request, call)
            response = await work()
            call.status = 200
            if fault:
                return _break(request, call)
            return response
        except ApiError as error:
            call.status, call.description = error.code, error.description
            return _answer_error(error)
        finally:
            self.world.changed()

    async def _deliver_webhooks(self) -> None:
        """Post updates to the webhook in force, one after the other, each until it is taken."""
        world = self.world
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            while True:
                await world.wait_for(lambda: self.api.webhook and world.updates, None)
                hook, update = self.api.webhook, world.updates[0]
                headers = (
                    {"X-Telegram-Bot-Api-Secret-Token": hook["secret_token"]} if hook["secret_token"] else {}
                )
                try:
                    async with session.post(hook["url"], json=update, headers=headers) as response:
                        reason = "" if response.ok else f"Wrong response from the webhook: {response.status}"
                        answer = await response.read()
                except (aiohttp.ClientError, TimeoutError) as error:
                    reason, answer = f"Connection failed: {type(error).__name__}", b""
                if reason:
                    self.api.webhook_failed(reason)
                    await asyncio.sleep(_WEBHOOK_RETRY)
                    continue
                if world.updates and world.updates[0] is update:
                    del world.updates[0]
                await self._webhook_reply(answer)

    async def _webhook_reply(self, answer: bytes) -> None:
        """A webhook may answer with one call of a method."""
        try:
            values = json.loads(answer)
        except ValueError:
            return
        if isinstance(values, dict) and (method := values.pop("method", None)):
            call = Call(str(method), {key: _loggable(value) for key, value in values.items()}, _now(), 200)
            self.calls.append(call)
            try:
                await self.api.call(str(method), values)
            except ApiError as error:
                call.status, call.description = error.code, error.description


def buttons(message: Json) -> list[Json]:
    """The inline buttons of a message, row by row."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


async def _parameters(request: web.Request) -> dict[str, Any]:
    """The parameters of a call, from the query and the body, however the body is written."""
    values: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body = json.loads(await request.text() or "{}")
        if not isinstance(body, dict):
            raise ValueError("an object is expected")
        return values | body
    if request.content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        for name, field in (await request.post()).items():
            values[name] = (
                Upload(field.filename, field.content_type, field.file.read())
                if isinstance(field, web.FileField)
                else field
            )
    return values


def _answer_error(error: ApiError) -> web.Response:
    return web.json_response(error.body(), status=error.code)


def _break(request: web.Request, call: Call) -> web.Response:
    call.status, call.description = 0, "the connection was reset"
    if request.transport:
        request.transport.abort()
    return web.Response()


def _loggable(value: Any) -> Any:
    return {"file": value.name, "size": len(value.data)} if isinstance(value, Upload) else value


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
