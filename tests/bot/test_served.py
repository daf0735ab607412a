"""Models that a server runs (``openai:NAME``), from a picture to its erasure: over real HTTP, with a real
database and worker, beside a model of this machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select

from bot.captioning.models import check_models, key
from bot.config import Settings
from bot.feedback.export import export
from bot.feedback.tables import CaptionRow, Job, TurnRow
from bot.sandbox import ME, Sandbox
from inference.checkpoints import served
from inference.serving.engine import Engine
from tests.bot.conftest import (
    Json,
    caption_of,
    data_of,
    forget,
    labels,
    replies_to,
    reply_to,
    settled,
    until,
    working,
)
from tests.bot.test_questions import JOKE_BUTTON, MEME, asked, described, rows
from tests.inference.chat_server import SAID, Body, ChatServer, refuses, says
from tests.inference.fakes import picture

KEY = "sk-not-to-be-told-to-anybody"
SERVED = "openai:tiny"
WITH_A_SERVER = "tests.inference.fakes:load_here_or_elsewhere"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """One that the settings name; what it is asked amiss fails the test."""
    with ChatServer(key=KEY) as double:
        monkeypatch.setenv("OPENAI_BASE_URL", double.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_MODELS", "tiny")
        served._server.cache_clear()
        yield double
        assert double.violations == []


def files_with(text: str, folder: Path) -> list[Path]:
    """Those of a folder, and of those in it, that hold a text."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


async def test_the_whole_way_with_a_model_that_a_server_runs(
    server: ChatServer,
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with working(settings(captioner=WITH_A_SERVER), sandbox) as app:
        await sandbox.send_text("/start")
        (start,) = await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))
        sandbox.press(start["message_id"], data_of(start, "p:1"))
        await sandbox.wait_for(lambda: "вы разрешаете" in start["text"])
        page = await reply_to(sandbox, await sandbox.send_text("/model"))
        sandbox.press(page["message_id"], data_of(page, f"m:{key(SERVED)}"))
        await sandbox.wait_for(lambda: f"Сейчас: {SERVED}" in page["text"])
        description = await described(sandbox)
        assert SAID in description["text"]
        assert labels(description)[-1] == JOKE_BUTTON
        server.script += [says("На футболке ничего не написано."), says("Кот ведёт себя как человек.")]
        assert (await asked(app, sandbox, "А что на футболке?", description))["text"] == (
            "На футболке ничего не написано."
        )
        sandbox.press(description["message_id"], data_of(description, "j:"))
        explained = await sandbox.wait_for(lambda: replies_to(sandbox, description))
        assert explained[0]["text"] == "Кот ведёт себя как человек."
        # What was said of the picture so far went along, and the words of the question.
        assert [said for said in server.told[1][1:] if "футболке" in said]
        assert SAID in server.told[2][1]

        told = len(server.requests)
        page = await reply_to(sandbox, await sandbox.send_text("/settings"))
        sandbox.press(page["message_id"], data_of(page, "t:short"))
        await sandbox.wait_for(lambda: "Сейчас: коротко" in page["text"])
        server.usual = says("Кот на столе.")
        photo = await sandbox.send_photo(MEME)
        await reply_to(sandbox, photo)
        await sandbox.send_text("/compare fake", reply_to=photo["message_id"])
        both = await sandbox.wait_for(lambda: (found := replies_to(sandbox, photo))[2:] and found[-2:])
        compared = [await app.store.captions.get(caption_of(one)) for one in both]
        assert [row and (row.model, row.options["detail"]) for row in compared] == [
            (SERVED, "short"),
            ("fake", "short"),
        ]
        assert len(server.requests) == told + 1  # the second time it was in the store

        sandbox.press(both[0]["message_id"], data_of(both[0], f"r:{caption_of(both[0])}:4"))
        await sandbox.wait_for(lambda: "Ваша оценка: 4" in both[0]["text"])
        out = tmp_path / "export"
        report = await export(app.store, out)
        assert (report.rows, report.turns, report.pictures) == (1, 2, 1)
        turns = [json.loads(line) for line in (out / "turns.jsonl").read_text("utf-8").splitlines()]
        assert [turn["model"] for turn in turns] == [SERVED, SERVED]

        # A server that repeats the key to whoever it refuses.
        server.usual = refuses(400, f"bad {KEY}")
        failed = await described(sandbox, caption="А это?")
        assert "reply_markup" not in failed
        refused = await asked(app, sandbox, "Кто это?", description)
        assert refused["text"].startswith(f"Модель {SERVED} не смогла ответить.")
        assert "bad …" in caplog.text
        await export(app.store, tmp_path / "export again")

        assert not files_with(KEY, tmp_path)
        assert "ответов на вопросы: 2" in (await forget(sandbox))["text"]
        assert [await rows(app, table) for table in (TurnRow, Job, CaptionRow)] == [0, 0, 0]
    assert KEY not in caplog.text
    assert not [message for message in sandbox.messages() if KEY in json.dumps(message)]


async def test_where_pictures_go_is_said_before_the_first_one_though_the_server_is_away(
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu-box.invalid:8000/v1")
    served._server.cache_clear()
    wanted: Any = settings(captioner=WITH_A_SERVER, model=SERVED)
    await check_models(wanted, Engine(wanted.engine))
    assert "Pictures that the model openai:tiny describes go to gpu-box.invalid:8000." in caplog.text
    async with working(wanted, sandbox):
        for command in ("/start", "/privacy", "/model"):
            await sandbox.send_text(command)
            await sandbox.wait_for(lambda: sandbox.messages()[-1]["from"]["is_bot"])
            assert "gpu-box.invalid:8000" in sandbox.messages()[-1]["text"]


async def test_of_fifty_pictures_eight_are_at_the_server_whenever_one_is_answered(
    server: ChatServer,
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And whoever waits is told so as they should be, the while."""
    monkeypatch.setenv("OPENAI_CONCURRENCY", "8")
    monkeypatch.setattr("bot.captioning.typing_notice.PERIOD", 0.1)
    people = range(2000, 2050)
    async with working(settings(captioner=WITH_A_SERVER, model=SERVED), sandbox) as app:
        await described(sandbox)  # everything is loaded
        server.requests.clear()
        server.usual, server.most_at_once = (turns := Turns()), 0
        sandbox.calls.clear()
        for person in people:
            await sandbox.send_document(picture(size=(person - 1900, 30)), "a.png", user=person)
        await sandbox.wait_for(lambda: len(chats_of(sandbox, "sendMessage")) > 20)  # are told to wait
        for answered in range(50):
            begun = min(answered + 8, 50)
            await when(partial(turns.have_come, begun))
            await sandbox.wait_for(partial(are_shown_typing, sandbox, begun))
            turns.give()
        await sandbox.wait_for(lambda: all(descriptions(sandbox, person) for person in people))
        await until(lambda: settled(app))
        await sandbox.wait_for(lambda: not any(notices(sandbox, person) for person in people))
        async with app.store.sessions.reading() as session:
            line = list(await session.scalars(select(Job.chat_id).order_by(Job.id).offset(1)))
    assert [len(descriptions(sandbox, person)) for person in people] == [1] * 50
    assert server.most_at_once == 8

    done, near, told = set[int](), set[int](), dict[int, int]()
    for call in sandbox.calls:
        chat = int(call.params.get("chat_id", 0))
        ahead = [one for one in line[: line.index(chat)] if one not in done] if chat in line else []
        if call.method == "sendChatAction":
            assert len(ahead) < 8
            near.add(chat)
        elif call.method == "sendMessage" and SAID in call.params["text"]:
            done.add(chat)
        elif call.method == "sendMessage":
            told[chat] = int(re.findall(r"перед ней (\d+) картин", call.params["text"])[0])
    assert near == set(line)  # its turn comes for everybody
    assert set(told) <= set(line[8:]) and len(told) > 20
    assert all(8 <= ahead <= line.index(chat) for chat, ahead in told.items())


class Turns:
    """Requests that are answered one by one, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._given = 0

    async def __call__(self, request: web.Request, body: Body) -> web.StreamResponse:
        turn = asyncio.Event()
        self._waiting.append((asyncio.get_running_loop(), turn))
        await turn.wait()
        return await says(SAID)(request, body)

    def have_come(self, count: int) -> bool:
        return len(self._waiting) == count

    def give(self) -> None:
        loop, turn = self._waiting[self._given]
        self._given += 1
        loop.call_soon_threadsafe(turn.set)


def chats_of(sandbox: Sandbox, method: str) -> set[int]:
    """Those in which a method was called."""
    return {int(call.params["chat_id"]) for call in sandbox.calls if call.method == method}


def are_shown_typing(sandbox: Sandbox, count: int) -> bool:
    """So many people were, at least."""
    return len(chats_of(sandbox, "sendChatAction")) >= count


def descriptions(sandbox: Sandbox, person: int) -> list[Json]:
    """What was said of this person's pictures."""
    return [one for one in sandbox.messages(person, by_bot=True) if SAID in one["text"]]


def notices(sandbox: Sandbox, person: int) -> list[Json]:
    """What else is said to them now."""
    return [one for one in sandbox.messages(person, by_bot=True) if SAID not in one["text"]]


def has_chosen(sandbox: Sandbox, person: int, model: str) -> bool:
    """They were told that this model describes now."""
    return any(f"Сейчас: {model}" in one["text"] for one in notices(sandbox, person))


async def test_a_server_that_does_not_answer_holds_up_nobody_who_did_not_ask_it(
    server: ChatServer, settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    """Its pictures take neither places nor memory nor positions in the queue of the other models."""
    server.usual = says(SAID, after=600)
    slow = range(2000, 2004)
    limits = {"queue_size": 2, "queue_notice": 2, "per_user_limit": 1, "picture_memory_mb": 0.02}
    async with working(settings(captioner=WITH_A_SERVER, model=SERVED, **limits), sandbox) as app:
        await sandbox.send_document(numbered(slow[0]), "a.png", user=slow[0])
        await when(lambda: server.at_once)
        for person in slow[1:]:
            await sandbox.send_document(numbered(person), "a.png", user=person)
        # Their files come in any order: one of them is the next and is told nothing.
        await sandbox.wait_for(lambda: sum(bool(notices(sandbox, person)) for person in slow) == 2)
        # Somebody who waits there has one of the bot's own model describe the next one.
        for person in (ME, slow[0]):
            await sandbox.send_text("/model fake", user=person)
            await sandbox.wait_for(partial(has_chosen, sandbox, person, "fake"))
            sent = await sandbox.send_document(numbered(40), "a.png", user=person)
            assert (await reply_to(sandbox, sent))["text"].startswith("40 x 30")
        assert not any(descriptions(sandbox, person) for person in slow)
        # Who leaves is not worked for any more, and the next one is.
        asked = len(server.requests)
        await forget(sandbox, slow[0])
        await when(lambda: len(server.requests) > asked)
        assert server.most_at_once == 1  # there is room for one file
        for person in slow[1:]:
            await forget(sandbox, person)
        await when(lambda: not server.at_once)
        await until(lambda: settled(app))


def numbered(number: int) -> bytes:
    """A picture of its own, in a file of 7 kB."""
    return picture(size=(number, 30)) + bytes(7000)


async def when(condition: Callable[[], object]) -> None:
    """Waits for what the stand-in does not see."""

    async def holds() -> object:
        return condition()

    await until(holds)
