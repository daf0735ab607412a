"""The engine where a model is on another machine: that one's waiting is nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from openai import AsyncOpenAI

from inference.checkpoints import served
from inference.common.types import EngineBusy, ModelNotLoaded, Turn
from inference.serving.engine import Engine, EngineSettings
from inference.serving.remote import RemoteEngine
from inference.serving.serve import http_app
from tests.inference.chat_server import SAID, Body, ChatServer, refuses, says
from tests.inference.fakes import HANG, POISON, picture, write_checkpoint
from tests.inference.serving.test_openai_api import data_url

ROOT = Path(__file__).parents[3]
KEY = "sk-not-to-be-told-to-anybody"
TINY = "openai:tiny"


@pytest.fixture(scope="module")
def listening() -> Iterator[ChatServer]:
    with ChatServer(key=KEY) as double:
        yield double


@pytest.fixture
def server(listening: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ChatServer]:
    """What it is asked amiss fails the test. Its address and key stand in .env alone."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"OPENAI_BASE_URL={listening.url}\nOPENAI_API_KEY={KEY}\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    served._server.cache_clear()
    listening.reset()
    yield listening
    assert listening.violations == []


@pytest.fixture
def settings(server: ChatServer, tmp_path: Path) -> EngineSettings:
    """Beside the server's models there is a fake of our own, which is the default."""
    write_checkpoint(tmp_path / "models", "fake")
    return EngineSettings(
        model="fake",
        models_dir=tmp_path / "models",
        captioner="tests.inference.fakes:load_here_or_elsewhere",
        threads=1,
    )


@pytest.fixture
async def engine(settings: EngineSettings) -> AsyncIterator[Engine]:
    async with Engine(settings) as engine:
        yield engine


async def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


def asleep(server: ChatServer) -> asyncio.Event:
    """The server answers nothing until the event, which any thread may set, is."""
    gate = asyncio.Event()

    async def habit(request: web.Request, body: Body) -> web.StreamResponse:
        while not gate.is_set():  # noqa: ASYNC110 - set in another loop
            await asyncio.sleep(0.01)
        return await says(SAID)(request, body)

    server.usual = habit
    return gate


async def test_who_waits_for_a_server_holds_up_nobody(
    server: ChatServer, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, queue_size=2, picture_timeout=20)
    gate = asleep(server)
    async with Engine(settings) as engine:
        slow = [asyncio.create_task(engine.caption(picture(), model=TINY)) for _ in range(2)]
        await until(lambda: server.at_once == 2, "both are with the server")
        pid = engine.worker_pid
        with pytest.raises(EngineBusy, match="2 pictures are waiting already"):
            await engine.caption(picture(), model=TINY)
        here = await asyncio.gather(*(engine.caption(picture(size=(n, n))) for n in (5, 6)))
        assert [caption.summary for caption in here] == ["5 x 5", "6 x 6"]
        assert not any(task.done() for task in slow)
        gate.set()
        assert [(await task).text for task in slow] == [SAID, SAID]
        assert engine.worker_pid == pid
        assert engine.waiting == 0


async def test_a_server_does_not_go_on_for_a_caller_who_left(
    server: ChatServer, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CONCURRENCY", "2")
    gate = asleep(server)
    async with Engine(settings) as engine:
        leaving = asyncio.create_task(engine.ask(picture(), "Кто?", model=TINY))
        await until(lambda: server.at_once == 1, "the question is with the server")
        staying = asyncio.create_task(engine.caption(picture(), model=TINY))
        await until(lambda: server.at_once == 2, "the picture, too")
        in_line = asyncio.create_task(engine.caption(picture(size=(9, 9)), model=TINY))
        await until(lambda: engine.waiting == 3, "one more is accepted")
        await engine.caption(picture())  # the worker has come to it before this one
        for task in (in_line, leaving):
            task.cancel()
        await until(lambda: server.at_once == 1, "the server stops")
        last = asyncio.create_task(engine.caption(picture(), model=TINY))
        await until(lambda: server.at_once == 2, "the place is another's")
        gate.set()
        assert [(await task).text for task in (staying, last)] == [SAID, SAID]
        assert engine.waiting == 0
    assert len(server.requests) == 3  # who left while they waited for a place was never asked for


async def test_a_server_does_not_go_on_for_who_hung_up_at_the_service(
    server: ChatServer, settings: EngineSettings
) -> None:
    gate = asleep(server)
    async with serving(settings) as url:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        shown = {"type": "image_url", "image_url": {"url": data_url(picture())}}
        async with client, RemoteEngine(url) as engine:
            asked: Any = {"model": TINY, "messages": [{"role": "user", "content": [shown]}]}
            for leaving in (
                client.chat.completions.create(**asked, stream=True),
                client.chat.completions.create(**asked),
                engine.caption(picture(), model=TINY),
                engine.ask(picture(), "Кто?", model=TINY),
            ):
                task = asyncio.create_task(leaving)
                await until(lambda: server.at_once == 1, "it is with the server")
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await until(lambda: server.at_once == 0, "the server stops")
            gate.set()
            assert (await engine.caption(picture(), model=TINY)).text == SAID


@asynccontextmanager
async def serving(settings: EngineSettings) -> AsyncIterator[str]:
    """The address of ``python -m inference serve``."""
    arguments = ["--port", "0", "--model", settings.model, "--models-dir", str(settings.models_dir)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference", "serve", *arguments, "--captioner", settings.captioner),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        said = (await process.stdout.readline()).decode()
        assert said.startswith("Running on ")
        yield said.split()[-1]
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("colour", [POISON, HANG], ids=["killed", "hangs"])
async def test_a_worker_that_dies_of_another_picture_asks_the_server_again(
    server: ChatServer, settings: EngineSettings, colour: tuple[int, int, int]
) -> None:
    gate = asleep(server)
    async with Engine(replace(settings, picture_timeout=3)) as engine:
        await engine.caption(picture())
        slow = asyncio.create_task(engine.caption(picture(), model=TINY))
        await until(lambda: server.at_once == 1, "it is with the server")
        with pytest.raises(Exception, match=r"twice|longer than"):
            await engine.caption(picture(colour))
        assert not slow.done()
        await until(lambda: len(server.requests) >= 2, "the server is asked again")
        gate.set()
        assert (await slow).text == SAID


async def test_a_question_is_answered_elsewhere(engine: Engine, server: ChatServer) -> None:
    server.script.append(says("На столе."))
    answer = await engine.ask(picture(), "Где?", turns=[Turn("", SAID)], model=TINY)
    assert (answer.text, answer.model) == ("На столе.", TINY)
    assert answer.checkpoint == engine.checkpoint(TINY)
    assert {"decode", "read", "generate", "total"} <= set(answer.seconds)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, ModelNotLoaded), (401, ModelNotLoaded), (429, EngineBusy)]
)
async def test_what_the_server_refuses_is_what_the_bot_knows(
    engine: Engine, server: ChatServer, status: int, kind: type[Exception]
) -> None:
    server.usual = refuses(status, f"bad {KEY}", Retry_After="0.01")
    with pytest.raises(kind) as raised:
        await engine.caption(picture(), model=TINY)
    assert type(raised.value) is kind
    assert KEY not in str(raised.value)


async def test_the_key_is_in_no_log_command_line_or_answer(
    settings: EngineSettings, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Engine(settings) as engine:
        caption = await engine.caption(picture(), model=TINY)
        assert engine.worker_pid is not None
        commands = [
            " ".join(process.cmdline())
            for process in (psutil.Process(engine.worker_pid), *psutil.Process().children(recursive=True))
        ]
        server.usual = refuses(400, f"bad {KEY}")
        with contextlib.suppress(Exception):
            await engine.caption(picture(), model=TINY)
    for told in (*commands, caplog.text, str(caption.to_dict())):
        assert KEY not in told


async def caption_or_none(engine: Engine) -> str | None:
    try:
        return (await engine.caption(picture())).text
    except ModelNotLoaded:
        return None


async def test_an_engine_starts_while_its_server_is_away(
    server: ChatServer, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "_AGAIN", 0.0)
    server.stop()
    try:
        async with Engine(replace(settings, model=TINY)) as engine:
            with pytest.raises(ModelNotLoaded, match="cannot be reached"):
                await engine.caption(picture())
            assert (await engine.caption(picture(size=(3, 3)), model="fake")).summary == "3 x 3"
            server.start()
            async with asyncio.timeout(60):  # the worker remembers for a moment that nobody was there
                while (said := await caption_or_none(engine)) is None:  # noqa: ASYNC110 - in another process
                    await asyncio.sleep(0.1)
            assert said == SAID
    finally:
        if not server.running:
            server.start()


async def test_a_service_tells_which_of_its_models_talk_and_where_they_are(
    server: ChatServer, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODELS", "tiny")
    runner = web.AppRunner(http_app(settings))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with RemoteEngine(f"http://127.0.0.1:{runner.addresses[0][1]}") as engine:
            answer = await engine.ask(picture(), "Кто?", model=TINY)
            assert (answer.text, answer.model) == (SAID, TINY)
            here = {one.name: one.talks for one in await asyncio.to_thread(engine.models)}
            assert await asyncio.to_thread(engine.hosts, ["fake", TINY]) == {}  # it is on this machine
            # Of a server that is away too: pictures go there when it is back.
            monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu-box.invalid:8000/v1")
            hosts = await asyncio.to_thread(engine.hosts, ["fake", TINY])
    finally:
        await runner.cleanup()
    assert here == {"fake": False, TINY: True}
    assert hosts == {TINY: "gpu-box.invalid:8000"}
