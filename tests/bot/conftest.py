"""A bot of real parts (store on disk, engine with its worker process, HTTP to the stand-in of the Bot API).

Only the model in the worker is a fake, which says what it saw and costs nothing.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from bot.app import App, build
from bot.config import Settings
from bot.feedback import database
from bot.feedback.states import UNFINISHED
from bot.feedback.store import Store
from bot.feedback.tables import Job
from bot.messages.pace import Limit, Limits
from bot.sandbox import ME, Sandbox
from bot.sandbox.pictures import photo_sizes
from bot.sandbox.world import CallbackState
from inference.serving.engine import Engine
from tests.inference.fakes import write_checkpoint

NO_LIMITS = Limits(*[Limit(100_000, 1.0)] * 4)
ADMIN = 999
OTHER = 1002

Json = dict[str, Any]


async def address_of_database(file: Path) -> str:
    """SQLite with this file; where TEST_DATABASE_URL names a PostgreSQL database, that one, emptied."""
    address = os.environ.get("TEST_DATABASE_URL")
    if address is None:
        return f"sqlite+aiosqlite:///{file}"
    await empty(address)
    return address


async def empty(address: str) -> None:
    """Drop all that a PostgreSQL database holds."""
    engine = database.create_engine(database.database_url(address))
    async with engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await engine.dispose()


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """Of the bot's database."""
    return await address_of_database(tmp_path / "bot.db")


@pytest.fixture
def settings(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings of a bot that keeps everything under this test's folder; nothing comes from outside."""
    models_dir = tmp_path / "models"
    write_checkpoint(models_dir, "fake")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "fake.log"))
    monkeypatch.setenv("FAKE_GATE", str(tmp_path / "gate"))
    monkeypatch.setattr("bot.captioning.typing_notice.SOON", 0.0)  # no fake needs a second
    monkeypatch.setattr("bot.messages.pace.LIMITS", NO_LIMITS)  # else the stand-in's people would wait

    def make(**changes: Any) -> Settings:
        values: Json = {
            "_env_file": None,
            "database_url": url,
            "data_dir": tmp_path / "data",
            "models_dir": models_dir,
            "model": "fake",
            "captioner": "tests.inference.fakes:load",
            "admin_ids": frozenset({ADMIN}),
            "drain_seconds": 5.0,
        }
        return Settings(**(values | changes))

    return make


@asynccontextmanager
async def serving(app: App, sandbox: Sandbox) -> AsyncIterator[None]:
    """The bot at work, stopped the way SIGTERM stops it."""
    stop = asyncio.Event()
    running = asyncio.create_task(app.serve(stop))
    asked = asyncio.create_task(
        sandbox.wait_for(lambda: sandbox.calls_of("getUpdates") or sandbox.api.webhook)
    )
    try:
        await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            await asked
        yield
    finally:
        asked.cancel()
        stop.set()
        await running


@asynccontextmanager
async def working(settings: Settings, sandbox: Sandbox) -> AsyncIterator[App]:
    """A bot with its own engine at work."""
    async with (
        Engine(settings.engine) as engine,
        build(settings, engine, token=sandbox.token, api_url=sandbox.url) as app,
        serving(app, sandbox),
    ):
        yield app


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that fails is tried as often as ever, without the pauses between."""
    quick = {"tries": 4, "first_pause": 0.001}
    monkeypatch.setattr("bot.middlewares.requests.RetryMiddleware.__init__.__kwdefaults__", quick)


@pytest.fixture
async def app(settings: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[App]:
    """The usual bot at work."""
    async with working(settings(), sandbox) as running:
        yield running


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 120.0) -> Any:
    """The first true result of ``condition``; for what the stand-in cannot see, such as the database."""
    async with asyncio.timeout(seconds):
        while not (result := await condition()):  # noqa: ASYNC110 - a database has no events
            await asyncio.sleep(0.01)
        return result


ANONYMOUS, AS_CHANNEL, TELEGRAM = 1087968824, 136817688, 777000  # accounts of Telegram's own
CHANNEL = -1_009_990_001


async def in_the_name_of_a_chat(
    sandbox: Sandbox,
    account: int,
    chat: int,
    text: str = "",
    *,
    picture: bytes | None = None,
    reply_to: int | None = None,
) -> Json:
    """A message whose author Telegram does not tell: by an anonymous administrator, or as a channel."""
    group = sandbox.group(chat, f"Группа {chat}")
    sandbox.user(account, first_name="Telegram", is_bot=account != TELEGRAM)
    channel = {"id": CHANNEL, "type": "channel", "title": "Канал"}
    content: Json = {"sender_chat": group if account == ANONYMOUS else channel}
    if account == TELEGRAM:
        content["is_automatic_forward"] = True
        content["forward_origin"] = {"type": "channel", "chat": channel, "message_id": 1, "date": 0}
    if picture is None:
        return await sandbox.send_raw(content | {"text": text}, chat=chat, user=account, reply_to=reply_to)
    content["photo"] = sandbox.world.photo(await asyncio.to_thread(photo_sizes, picture))
    return await sandbox.send_raw(content, caption=text, chat=chat, user=account, reply_to=reply_to)


def replies_to(sandbox: Sandbox, message: Json, *, chat: int | None = None) -> list[Json]:
    """The bot's messages that answer this one."""
    place = message["chat"]["id"] if chat is None else chat
    return [
        said
        for said in sandbox.messages(place, by_bot=True)
        if said["from"]["id"] == sandbox.world.bot["id"]
        and said.get("reply_to_message", {}).get("message_id") == message["message_id"]
    ]


async def reply_to(sandbox: Sandbox, message: Json) -> Json:
    """The bot's answer to this message, waited for."""
    answers = await sandbox.wait_for(lambda: replies_to(sandbox, message))
    return answers[0]


async def answer_to(sandbox: Sandbox, pressed: CallbackState) -> Json:
    """What the bot says to who pressed this button, waited for."""
    return await sandbox.wait_for(lambda: pressed.answer)


def data_of(message: Json, prefix: str) -> str:
    """The callback_data of the first button that begins so."""
    data: str = next(
        button["callback_data"]
        for row in message["reply_markup"]["inline_keyboard"]
        for button in row
        if button.get("callback_data", "").startswith(prefix)
    )
    return data


async def forget(sandbox: Sandbox, user: int = ME) -> Json:
    """Have everything about a person erased; the message that says so."""
    question = await reply_to(sandbox, await sandbox.send_text("/forget", user=user))
    sandbox.press(question["message_id"], data_of(question, "f:1"), user=user)
    await sandbox.wait_for(lambda: "стёрто (" in question["text"])
    return question


def caption_of(message: Json) -> int:
    """The number of the caption that the message's buttons are about."""
    return int(data_of(message, "r:").split(":")[1])


def labels(message: Json) -> list[str]:
    """The texts of all buttons."""
    return [button["text"] for row in message["reply_markup"]["inline_keyboard"] for button in row]


async def unfinished(store: Store) -> list[Job]:
    """The jobs that were accepted and not finished, oldest first."""
    async with store.sessions.reading() as session:
        rows = await session.scalars(select(Job).where(Job.state.in_(UNFINISHED)).order_by(Job.id))
        return list(rows)


async def settled(app: App) -> bool:
    """Nothing accepted is unfinished."""
    return not await unfinished(app.store)


@asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[None]:
    """Nobody else can write to the database. The lock is waited for in a thread: who holds it may be an
    open transaction of this very loop."""
    connected = sqlite3.connect(folder / "bot.db", isolation_level=None, check_same_thread=False)
    with closing(connected) as other:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
