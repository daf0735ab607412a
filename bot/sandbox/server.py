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
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from bot.common.listening import listen
from bot.sandbox.api import MAX_UPLOAD, ApiError, BotApi, Upload
from bot.sandbox.faults import DOWNLOAD, Call
from bot.sandbox.page import ChatPage
from bot.sandbox.scene import Scene

__all__ = ["Sandbox"]

logger = logging.getLogger(__name__)

_OFFLINE_AFTER = 3.0  # s without a poll until the page says that no bot is there
_WEBHOOK_RETRY = 1.0  # s
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sandbox(Scene):
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
        super().__init__(username=username, privacy=privacy)
        self.token = token or f"{self.world.bot['id']}:{secrets.token_urlsafe(26)[:35]}"
        self.api = BotApi(self.world)
        self._runner: web.AppRunner | None = None
        self._webhook_task: asyncio.Task[None] | None = None
        self._offline: asyncio.TimerHandle | None = None

    # --- life -----------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Bind the port and serve. Raises OSError, whose text says what to do, when the port is taken."""
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
        await listen(
            runner,
            self.host,
            self.port,
            what="The stand-in of Telegram",
            remedy="end what listens there, or choose another SANDBOX_PORT",
        )
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

    async def __aenter__(self) -> Self:
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
        try:
            name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        except ValueError:
            return False
        if name not in ("localhost", self.host) and not _is_loopback(name):
            return False
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
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
        fault = self.faults.take(method, values)
        try:
            if fault and (error := fault.error()):
                raise error
            if self.limits is not None and (refusal := self.limits.refusal(method, values, call.at)):
                raise refusal
            if fault and fault.kind == "bad_gateway":
                call.status = 502
                page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
                return web.Response(status=502, text=page, content_type="text/html")
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


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
