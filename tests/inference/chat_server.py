"""A server of OpenAI's protocol for tests: real HTTP, strict, with the habits of others.

What comes is checked against the official client's own types; what breaks them is answered with 400, and told
in ``violations``. What it answers is what a test put into ``script``, one habit a request, else ``usual``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from types import GeneratorType
from typing import Any, Self, get_type_hints

from aiohttp import web
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from PIL import Image
from pydantic import TypeAdapter, ValidationError

Body = Mapping[str, Any]
Habit = Callable[[web.Request, Body], Awaitable[web.StreamResponse]]

SAID = "Кот сидит на столе и смотрит в окно."
CREATED = 1_700_000_000  # long ago

_REQUEST = TypeAdapter(CompletionCreateParamsNonStreaming)
_FIELDS = frozenset(get_type_hints(CompletionCreateParamsNonStreaming))


def says(text: str | None, *, after: float = 0.0, **message: Any) -> Habit:
    """An answer in one piece, after some seconds."""

    async def habit(request: web.Request, body: Body) -> web.StreamResponse:
        await asyncio.sleep(after)
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text, **message},
        }
        return web.json_response(_answer(body, "chat.completion", choice))

    return habit


def streams(text: str, *, after: float = 0.0) -> Habit:
    """An answer in pieces, though nobody asked for that; the first after some seconds."""

    async def habit(request: web.Request, body: Body) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": ping\n\n")
        await asyncio.sleep(after)
        for start in range(0, len(text), 7):
            choice = {"index": 0, "finish_reason": None, "delta": {"content": text[start : start + 7]}}
            chunk = json.dumps(_answer(body, "chat.completion.chunk", choice), ensure_ascii=False)
            await response.write(f"data: {chunk}\r\n\r\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    return habit


def refuses(status: int, message: str = "no", **headers: str) -> Habit:
    """An error."""

    async def habit(request: web.Request, body: Body) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({"error": {"message": message}}, status=status, headers=named)

    return habit


async def cuts(request: web.Request, body: Body) -> web.StreamResponse:
    """The connection ends in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def babbles(request: web.Request, body: Body) -> web.StreamResponse:
    """A page, as a proxy sends it."""
    return web.Response(text="<html>Welcome</html>", content_type="text/html")


def _answer(body: Body, kind: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "1", "object": kind, "created": CREATED, "model": body["model"], "choices": [choice]}


class ChatServer:
    """Listens while it is entered, in a thread of its own."""

    def __init__(self, *, models: tuple[str, ...] = ("tiny",), key: str | None = None) -> None:
        self.key = key
        self._names = models
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.reset()

    def reset(self) -> None:
        """As before the first request."""
        self.listing: list[dict[str, Any]] | None = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "tests"} for name in self._names
        ]  # None: it lists none
        self.usual: Habit = says(SAID)
        self.script: deque[Habit] = deque()
        self.unknown: frozenset[str] = frozenset()  # fields that it refuses
        self.extra: frozenset[str] = frozenset()  # fields of its own
        self.requests: list[Body] = []
        self.sizes: list[tuple[int, int]] = []  # of the pictures
        self.violations: list[str] = []
        self.listed = 0  # times
        self.at_once = 0  # requests in work
        self.most_at_once = 0
        self.moments: list[float] = []  # time.monotonic() of the requests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def running(self) -> bool:
        return self._runner is not None

    @property
    def told(self) -> list[list[str]]:
        """The texts of each request, in order."""
        return [[_text(message["content"]) for message in body["messages"]] for body in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        """Nobody is at its port any more."""
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
            self._runner = None

    def start(self) -> None:
        """At the same port as before."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    async def _end(self) -> None:
        """End what nobody waits for any more: an answer that takes too long."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _start(self) -> None:
        app = web.Application(client_max_size=50_000_000)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        # As servers do that run models: who hangs up is not worked for.
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            sent = request.headers.get("Authorization")
            return web.json_response({"error": {"message": f"Incorrect API key: {sent}"}}, status=401)
        return None

    async def _models(self, request: web.Request) -> web.Response:
        self.listed += 1
        if self.listing is None:
            return web.json_response({"error": {"message": "not found"}}, status=404)
        return self._refused(request) or web.json_response({"object": "list", "data": self.listing})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.moments.append(time.monotonic())
        if refused := self._refused(request):
            return refused
        body = await request.json()
        self.requests.append(body)
        names = None if self.listing is None else [entry["id"] for entry in self.listing]
        if names is not None and body["model"] not in names:
            return web.json_response({"error": {"message": f"no model {body['model']}"}}, status=404)
        if unknown := self.unknown & set(body):
            return web.json_response({"error": {"message": f"Unknown field {min(unknown)}"}}, status=400)
        try:
            self._check(body)
        except (ValidationError, AssertionError, ValueError) as error:
            self.violations.append(str(error))
            return web.json_response({"error": {"message": str(error)}}, status=400)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await (self.script.popleft() if self.script else self.usual)(request, body)
        finally:
            self.at_once -= 1

    def _check(self, body: Body) -> None:
        """Raises what is wrong with a request."""
        strange = set(body) - _FIELDS - self.extra
        assert not strange, f"fields that no server knows: {strange}"
        # Sequences are checked as they are walked through.
        _walk(_REQUEST.validate_python({name: value for name, value in body.items() if name in _FIELDS}))
        first, *others = body["messages"]
        (shown,) = [part for part in first["content"] if part["type"] == "image_url"]
        kind, _, data = shown["image_url"]["url"].partition(";base64,")
        assert kind == "data:image/jpeg"
        with Image.open(BytesIO(base64.b64decode(data, validate=True))) as image:
            image.load()
            assert image.format == "JPEG"
            self.sizes.append(image.size)
        roles = [message["role"] for message in body["messages"]]
        assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
        assert roles[-1] == "user"
        assert all(isinstance(message["content"], str) for message in others)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _walk(value: Any) -> None:
    if isinstance(value, Mapping):
        for part in value.values():
            _walk(part)
    elif isinstance(value, (list, tuple, GeneratorType)) or type(value).__name__ == "ValidatorIterator":
        for part in value:
            _walk(part)
