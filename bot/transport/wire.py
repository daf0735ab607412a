"""JSON as it comes off the wire: whatever it holds, what is made of it can be kept and handled.

Python's own reader gives numbers that no database holds, halves of characters that nothing can write, and no
answer at all for what is nested deep. One odd value must not cost the photo beside it, nor the updates behind
it: each is replaced by something harmless where it stands, and the types of the Bot API decide the rest.

Where no answer comes, the error tells whether the server can have got the request at all.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import ClientDecodeError, TelegramNetworkError, TelegramServerError
from aiogram.methods import TelegramMethod
from aiogram.methods.base import Response, TelegramType
from aiohttp import ClientError, ClientSession, ClientTimeout, TraceConfig

from bot.messages.failures import GatewayTimeout, NotWritten

DEEPEST = 100  # lists and objects inside each other; far more than any message has
_LARGEST = 2**63  # what a database's number is below

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)
# How JSON writes NUL, and characters beyond the first 65,536: in two halves.
_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def read_json(data: str | bytes) -> Any:
    """What the text says. Raises ValueError when it is no JSON, or bytes that are not UTF-8.

    Numbers beyond 64 bits and beyond floats, NaN, and what is nested deeper than DEEPEST become None; NUL and
    halves of characters become question marks.
    """
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    if text.count("[") + text.count("{") > DEEPEST:
        text = _shallow(text)
    value = json.loads(text, parse_int=_whole, parse_float=_real, parse_constant=lambda _: None)
    return _clean(value) if _ESCAPED.search(text) else value


def update_number(row: object) -> int | None:
    """The ``update_id`` of what came as an update; None: it has none that could be one."""
    number = row.get("update_id") if isinstance(row, dict) else None
    return number if type(number) is int and number >= 0 else None


class Session(AiohttpSession):
    """aiogram's; but :func:`read_json` reads the answers, bytes that are no text do not end the bot, and a
    request that was not written raises NotWritten.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(json_loads=read_json, **options)

    async def create_session(self) -> ClientSession:
        """The session, made anew when there is none."""
        before, session = self._session, await super().create_session()
        if session is not before:
            watched = TraceConfig()
            watched.on_request_headers_sent.append(_written)
            watched.freeze()
            session.trace_configs.append(watched)
        return session

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - aiogram's own
    ) -> TelegramType:
        """Ask the server. Raises what aiogram's own session raises."""
        session = await self.create_session()
        request = _Request()
        try:
            async with session.post(
                self.api.api_url(token=bot.token, method=method.__api_method__),
                data=self.build_form_data(bot=bot, method=method),
                timeout=ClientTimeout(total=self.timeout if timeout is None else timeout),
                trace_request_ctx=request,
            ) as response:
                content = (await response.read()).decode("utf-8", "replace")
        except (TimeoutError, ClientError) as error:
            failure = TelegramNetworkError if request.written else NotWritten
            late = isinstance(error, TimeoutError)
            told = "Request timeout error" if late else f"{type(error).__name__}: {error}"
            raise failure(method=method, message=told) from error
        if response.status == HTTPStatus.GATEWAY_TIMEOUT:
            raise GatewayTimeout(method=method, message="Gateway Timeout")
        _keep_type(method.__returning__)
        try:
            checked = self.check_response(
                bot=bot, method=method, status_code=response.status, content=content
            )
        except ClientDecodeError as error:
            if response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            # The page of a proxy.
            raise TelegramServerError(method=method, message=f"Status {response.status}") from error
        return cast("TelegramType", checked.result)


class _Request:
    """One request."""

    written = False  # it has begun to be


async def _written(_: ClientSession, context: SimpleNamespace, __: object) -> None:
    if isinstance(context.trace_request_ctx, _Request):
        context.trace_request_ctx.written = True


@cache
def _keep_type(returning: Any) -> Any:
    """The type of the answers of methods that return this. pydantic forgets it when nobody holds it, and
    building it anew at each call took a fifth of the bot's time.
    """
    return Response[returning]


def _whole(digits: str) -> int | None:
    # Longer ones cost time that grows with the square of their length.
    number = int(digits) if len(digits) <= 20 else _LARGEST
    return number if -_LARGEST <= number < _LARGEST else None


def _real(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "?")
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(one) for name, one in value.items()}
    return value


def _shallow(text: str) -> str:
    """The text with null in place of what is nested too deep, without reading that."""
    kept, depth, end = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept.append(text[end : token.start()] + "null")
        elif token[0] in "]}":
            if depth == DEEPEST + 1:
                end = token.end()
            depth -= 1
    # An end that never comes leaves what was cut away open, which is no JSON.
    return "".join(kept) + text[end:] if depth <= DEEPEST else text[:end] + "["
