"""JSON off the wire: whatever is posted or polled, it is read, and one odd value costs nothing beside it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import weakref
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramServerError
from aiogram.methods import GetMe
from aiogram.methods.base import Response
from aiogram.types import User
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.messages.failures import surely_not_done
from bot.sandbox import Sandbox
from bot.sandbox.faults import FaultKind
from bot.transport.intake import read_update
from bot.transport.wire import DEEPEST, Session, read_json, update_number

TOKEN = f"123456789:{'Ab-_' * 9}"

NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, -(10**400)]),
    st.floats(),
    st.booleans(),
)
TEXTS = st.one_of(
    st.text(st.characters(), max_size=20),  # halves of characters and NUL among them
    st.sampled_from(["7", "/help", "\ud800", "a\0b", '\\"[{', "\\u0000"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)
PERSON = st.fixed_dictionaries({"id": NUMBERS | VALUES, "is_bot": VALUES, "first_name": TEXTS | VALUES})
CHAT = st.fixed_dictionaries({"id": NUMBERS | VALUES, "type": st.just("private") | VALUES})
MESSAGES = st.fixed_dictionaries(
    {"message_id": st.just(5) | VALUES, "date": st.just(1_700_000_000) | NUMBERS},
    optional={
        "chat": CHAT | VALUES,
        "from": PERSON | VALUES,
        "text": TEXTS | VALUES,
        "photo": VALUES,
        "reply_to_message": VALUES,
        "entities": VALUES,
        "forward_origin": VALUES,
    },
)
UPDATES = st.fixed_dictionaries(
    {"update_id": st.integers(0, 10**9) | NUMBERS | VALUES},
    optional={
        "message": MESSAGES | VALUES,
        "edited_message": MESSAGES | VALUES,
        "callback_query": VALUES,
        "my_chat_member": VALUES,
        "from_the_future": VALUES,
    },
)


def nested(depth: int, beginning: str = '{"update_id": 7, "message": ', opening: str = '{"a":') -> str:
    """An update with something nested so deep in it."""
    closing = "]" if opening.endswith("[") else "}"
    return beginning + opening * depth + "1" + closing * depth + "}"


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(UPDATES | VALUES)
@example({"update_id": 1, "message": {"date": 10**18, "message_id": 2**70}})
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_is_read_can_be_kept_and_made_an_update_of(value: Any) -> None:
    read = read_json(json.dumps(value))
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()
    assert "\\u0000" not in json.dumps(read).replace("\\\\", "")
    number = update_number(read)
    assert number is None or 0 <= number < 2**63
    if number is not None:
        update = read_update(read, Bot(TOKEN))
        assert update is None or update.update_id == number


@pytest.mark.parametrize("number", [1, 300])
def test_what_is_new_is_left_out_where_it_stands_and_much_of_it_with_its_field(number: int) -> None:
    size = {"file_id": "a", "file_unique_id": "b", "width": 3, "height": 2}
    photo = [size, *[{"file_id": "of another kind"}] * number]
    new = {"type": "from_the_future"}
    quoted = {"origin": new, "photo": [size]}
    message = {"message_id": 5, "date": 0, "chat": {"id": 1, "type": "private"}, "external_reply": quoted}
    update = read_update({"update_id": 7, "message": message | {"text": "a", "photo": photo}}, Bot(TOKEN))
    assert update is not None
    read = update.message
    assert read is not None
    assert read.text == "a"
    assert len(read.photo or ()) == (1 if number == 1 else 0)
    assert read.external_reply is None  # which cannot do without the origin that is new


@given(VALUES)
def test_what_is_in_order_stays_as_it_is(value: Any) -> None:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return
    plain = json.loads(text)
    if "\\u0000" in json.dumps(plain) or any(len(part) > 18 for part in _digits(text.decode())):
        return
    assert read_json(text) == plain


def _digits(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 9223372036854775807, "b": 9223372036854775808}', {"a": 2**63 - 1, "b": None}),
        ('{"a": -9223372036854775808, "b": -9223372036854775809}', {"a": -(2**63), "b": None}),
        ("[" + "9" * 5000 + ", 1]", [None, 1]),
        ("[1e999, NaN, -Infinity, 0.5]", [None, None, None, 0.5]),
        (r'["\ud83d\ude00", "\ud83d", "\u0000", "\\u0000"]', ["😀", "?", "?", "\\u0000"]),
        ('\N{ZERO WIDTH NO-BREAK SPACE}{"a": 1}'.encode(), {"a": 1}),
        ('["' + "[{" * 200 + '"]', ["[{" * 200]),
    ],
    ids=["64 bits", "negative", "5000 digits", "no numbers", "halves", "byte order mark", "text"],
)
def test_odd_values(text: str | bytes, value: Any) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize("opening", ['{"a":', "[", '{"b": 1, "]}": "\\"", "a":'])
@pytest.mark.parametrize("deep", [DEEPEST - 2, DEEPEST, 1_000, 100_000])
def test_what_is_nested_too_deep_is_cut_off_where_it_is(deep: int, opening: str) -> None:
    text = f'{{"update_id": 7, "message": {nested(deep, "", opening).removesuffix("}")}, "after": [1, 2]}}'
    began = time.monotonic()
    read = read_json(text)
    assert time.monotonic() - began < 5
    assert (read["update_id"], read["after"]) == (7, [1, 2])
    assert depth(read) <= DEEPEST


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": 1', "[" * 5000, "[" * 5000 + "]", "]" * 5000, b"\xff\xfe{}", "{'a': 1}"],
    ids=range(8),
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        read_json(text)


async def test_an_answer_that_is_no_text_is_a_passing_failure_and_not_the_end(unused_tcp_port: int) -> None:
    pages = [
        web.Response(body="<h1>Шлюз не отвечает</h1>".encode("cp1251"), status=502),
        web.Response(body=b"\xff\xfe\x00", headers={"Content-Type": "application/json; charset=utf-7"}),
        web.Response(body=b'{"ok": true, "result": {"id": 1, "is_bot": true, "first_name": "\xff"}}'),
    ]

    async def answer(_: web.Request) -> web.Response:
        return pages.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    server = TelegramAPIServer.from_base(f"http://127.0.0.1:{unused_tcp_port}")
    try:
        async with Bot(TOKEN, session=Session(api=server)) as bot:
            for failure in (TelegramServerError, ClientDecodeError):
                with pytest.raises(failure):
                    await bot(GetMe())
            assert (await bot(GetMe())).first_name == "\N{REPLACEMENT CHARACTER}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("flood", True),
        ("server_error", True),
        ("bad_gateway", True),
        ("bad_request", True),
        ("reset", False),  # the server had the request, and nobody knows what it made of it
        ("reset_after", False),
    ],
)
async def test_a_failure_tells_whether_the_request_had_no_effect(
    sandbox: Sandbox, kind: FaultKind, *, known: bool
) -> None:
    async with Bot(sandbox.token, session=Session(api=TelegramAPIServer.from_base(sandbox.url))) as bot:
        await bot(GetMe())
        sandbox.fail("getMe", kind)
        with pytest.raises(TelegramAPIError) as caught:
            await bot(GetMe())
        assert surely_not_done(caught.value) is known
        sandbox.fail("getMe", kind)
        gate = sandbox.hold("getMe")
        with pytest.raises(TelegramAPIError) as caught:
            await bot(GetMe(), request_timeout=0.05)  # type: ignore[arg-type]  # a whole second is long
        assert not surely_not_done(caught.value)
        gate.release()


async def test_what_was_never_written_had_no_effect(unused_tcp_port: int) -> None:
    """Nobody listens, and no connection was free in time."""
    server = TelegramAPIServer.from_base(f"http://127.0.0.1:{unused_tcp_port}")
    async with Bot(TOKEN, session=Session(api=server, limit=1)) as bot:
        with pytest.raises(TelegramAPIError) as caught:
            await bot(GetMe())
        assert surely_not_done(caught.value)

        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            asked.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", unused_tcp_port):
            first = asyncio.ensure_future(bot(GetMe(), request_timeout=1))
            await asked.wait()
            with pytest.raises(TelegramAPIError) as second:
                await bot(GetMe(), request_timeout=0.2)  # type: ignore[arg-type]  # a whole second is long
            assert surely_not_done(second.value)
            with pytest.raises(TelegramAPIError) as caught:
                await first
            assert not surely_not_done(caught.value)


async def test_the_type_of_an_answer_is_built_once(sandbox: Sandbox) -> None:
    session = Session(api=TelegramAPIServer.from_base(sandbox.url))
    async with Bot(sandbox.token, session=session) as bot:
        await bot.get_me()
        built = weakref.ref(Response[User])
        gc.collect()  # a class is in circles: nothing else frees it
        assert built() is not None
        await bot.get_me()
        assert built() is Response[User]
