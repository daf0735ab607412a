"""JSON as it comes off the wire: whatever it holds, what is made of it can be kept and handled.

Python's own reader gives numbers that no database holds, halves of characters that nothing can write, and no
answer at all for what is nested deep. One odd value must not cost the photo beside it, nor the updates behind
it: each is replaced by something harmless where it stands, and the types of the Bot API decide the rest.
Those grow: what aiogram does not know yet is left out, of updates and of answers.

Where no answer comes, the error tells whether the server can have got the request at all.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from http import HTTPStatus
from operator import getitem
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import ClientDecodeError, TelegramNetworkError, TelegramServerError
from aiogram.methods import TelegramMethod
from aiogram.methods.base import Response, TelegramType
from aiohttp import ClientError, ClientSession, ClientTimeout, TraceConfig
from pydantic import ValidationError

from bot.messages.failures import GatewayTimeout, NotWritten

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEEPEST = 100  # lists and objects inside each other; far more than any message has
MANY_UNKNOWN = 20  # things left out of one update or answer
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


def read_known(read: Callable[[Any], T], data: Any) -> T:
    """What ``read`` makes of ``data`` without what it does not know: a new kind of forward, say, in a message
    whose picture is an old one.

    Left out is the innermost thing that cannot be read, then what cannot do without it; where there is much
    of that, the whole field of the message. Raises ValidationError when that would be all.
    """
    try:
        return read(data)
    except ValidationError as error:
        unknown = error
    rest = copy.deepcopy(data)
    left_out: list[object] = []
    while True:
        # The first one alone: behind it may stand what another type that it is not misses in the same thing.
        told = unknown.errors(include_input=False, include_url=False)[0]
        path = _path(rest, told["loc"])
        if len(path) < 2:
            raise unknown
        if len(left_out) + unknown.error_count() > MANY_UNKNOWN:
            path = path[:2]
        del reduce(getitem, path[:-1], rest)[path[-1]]
        left_out.append(told)
        try:
            known = read(rest)
        except ValidationError as error:
            unknown = error
        else:
            logger.warning("What cannot be read of what Telegram says is left out: %s", left_out)
            return known


def _path(data: Any, location: Sequence[int | str]) -> list[int | str]:
    """The keys on the way to what pydantic names, as far as they are there; it names types besides."""
    path: list[int | str] = []
    inside = data
    for part in location:
        known = inside if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        if part in known:
            path.append(part)
            inside = inside[part]
    return path


class Session(AiohttpSession):
    """aiogram's; but :func:`read_json` and :func:`read_known` read the answers, bytes that are no text do not
    end the bot, and a request that was not written raises NotWritten.
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

    def check_response(
        self, bot: Bot, method: TelegramMethod[TelegramType], status_code: int, content: str
    ) -> Response[TelegramType]:
        """What the server says, without what is new in it: it has done what it was asked, and an answer that
        nobody understood would have it done again. Raises what aiogram's own session raises.
        """
        try:
            return super().check_response(bot, method, status_code, content)
        except ClientDecodeError as error:
            if not isinstance(error.original, ValidationError) or status_code != HTTPStatus.OK:
                raise
            read = partial(Response[method.__returning__].model_validate, context={"bot": bot})  # type: ignore[name-defined]  # as aiogram has it
            try:
                return cast("Response[TelegramType]", read_known(read, error.data))
            except ValidationError:
                raise error from None


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
