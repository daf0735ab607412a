"""The engine over HTTP: a real server with a real engine and worker, and the client that stands for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from inference.common.types import (
    CannotTalk,
    Caption,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureError,
    PictureTimeout,
    Turn,
    UnknownModel,
    WorkerCrashed,
)
from inference.pictures.opening import MAX_BYTES
from inference.serving.engine import EngineSettings
from inference.serving.remote import RemoteEngine
from inference.serving.serve import ENGINE, http_app
from tests.inference import fakes

DEADLINE = 120.0  # seconds; a busy machine needs some of them


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


def log(folder: Path) -> str:
    return (folder / "log").read_text()


def open_gate() -> None:
    """Pictures that wait for it are answered."""
    Path(os.environ["FAKE_GATE"]).touch()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_GATE", str(tmp_path / "gate"))
    models = tmp_path / "models"
    fakes.write_checkpoint(models, "first", card="A model.")
    fakes.write_checkpoint(models, "second")
    return EngineSettings(
        model="first", models_dir=models, captioner="tests.inference.fakes:load", picture_timeout=DEADLINE
    )


@contextlib.asynccontextmanager
async def listening(app: web.Application, port: int = 0) -> AsyncIterator[int]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.fixture
async def service(settings: EngineSettings) -> AsyncIterator[tuple[RemoteEngine, web.Application]]:
    app = http_app(settings)
    async with listening(app) as port, RemoteEngine(f"http://127.0.0.1:{port}/") as engine:
        yield engine, app


async def test_a_picture_comes_back_as_a_caption(
    service: tuple[RemoteEngine, web.Application], settings: EngineSettings
) -> None:
    engine, app = service
    options = DecodingOptions(strategy="sample", seed=5, temperature=0.7)
    caption = await engine.caption(fakes.picture(size=(30, 20)), options=options, model="second")
    assert isinstance(caption, Caption)
    assert (caption.summary, caption.model, caption.options) == ("30 x 20", "second", options)
    assert caption.words == ("СЛОВА", "вторые 30")
    default = await engine.caption(fakes.picture())
    there = await app[ENGINE].caption(fakes.picture())
    assert replace(default, seconds={}) == replace(there, seconds={})
    assert default.model == "first"
    assert engine.waiting == 0


async def test_a_question_comes_back_as_its_answer(settings: EngineSettings) -> None:
    talking = replace(settings, captioner="tests.inference.fakes:load_talking")
    fakes.write_checkpoint(settings.models_dir, "talker", card=fakes.TALKS)
    said = [Turn("", "Кот."), Turn("Где?", "Там.")]
    async with listening(http_app(talking)) as port, RemoteEngine(f"http://127.0.0.1:{port}") as engine:
        answer = await engine.ask(fakes.picture(size=(30, 20)), "Кто?", turns=said, model="talker")
        with pytest.raises(PictureError):
            await engine.ask(b"no picture", "Кто?")
        with pytest.raises(EngineError, match="1000 characters at most"):
            await engine.ask(fakes.picture(), "?" * 1001)
        talks = {model.name: model.talks for model in await asyncio.to_thread(engine.models)}
    assert (answer.text, answer.model) == ("30 x 20: Кто?, до того 2", "talker")
    assert talks == {"first": False, "second": False, "talker": True}


async def test_what_asks_amiss_is_told_so_without_its_picture(
    service: tuple[RemoteEngine, web.Application], settings: EngineSettings
) -> None:
    engine, _ = service
    with pytest.raises(CannotTalk, match="answers no questions"):
        await engine.ask(fakes.picture(), "Кто?")
    async with aiohttp.ClientSession() as session:
        for body in (
            b"no JSON",
            b'{"picture": "c2VjcmV0"}',
            b"[" * 9999,
        ):
            async with session.post(f"{engine.url}/ask", data=body) as response:
                assert response.status == 400
                sentence = (await response.json())["sentence"]
                assert "c2VjcmV0" not in sentence
                assert sentence.startswith("The question cannot be used (")
                assert "https://" not in sentence  # of pydantic's own pages


async def test_models_and_their_hashes_are_those_of_the_service(
    service: tuple[RemoteEngine, web.Application],
) -> None:
    engine, app = service
    there = app[ENGINE]
    assert await asyncio.to_thread(engine.models) == there.models()
    assert await asyncio.to_thread(engine.models, ["second", "third"]) == there.models()
    assert await asyncio.to_thread(engine.missing) == there.missing() != []
    assert [model.name for model in there.models()] == ["first", "second"]
    for name in (None, "first", "second"):
        assert await asyncio.to_thread(engine.version, name) == there.version(name)
        assert await asyncio.to_thread(engine.checkpoint, name) == there.checkpoint(name)
    with pytest.raises(UnknownModel, match="no model named 'third'"):
        await asyncio.to_thread(engine.checkpoint, "third")


async def test_health_is_that_of_the_service(service: tuple[RemoteEngine, web.Application]) -> None:
    engine, app = service
    await engine.caption(fakes.picture())
    await until(lambda: engine.healthy)
    pid = app[ENGINE].worker_pid
    assert pid is not None
    await app[ENGINE].stop()
    await until(lambda: not engine.healthy)


@pytest.mark.parametrize(
    ("error", "picture", "model"),
    [
        (PictureError, b"no picture", None),
        (PictureError, b"", None),
        (UnknownModel, fakes.picture(), "third"),
        (UnknownModel, fakes.picture(), "../first"),
        (WorkerCrashed, fakes.picture(fakes.POISON), None),
        (EngineError, fakes.picture(fakes.RAISE), None),
    ],
    ids=["no picture", "empty", "unknown", "elsewhere", "crash", "failure"],
)
async def test_errors_arrive_as_what_they_are(
    service: tuple[RemoteEngine, web.Application],
    settings: EngineSettings,
    error: type[Exception],
    picture: bytes,
    model: str | None,
) -> None:
    engine, app = service
    with pytest.raises(error) as there:
        await app[ENGINE].caption(picture, model=model)
    with pytest.raises(error) as here:
        await engine.caption(picture, model=model)
    assert type(here.value) is type(there.value)
    assert str(here.value) == str(there.value).replace(f" in {settings.models_dir}", " here")
    if isinstance(here.value, PictureError) and isinstance(there.value, PictureError):
        assert here.value.code == there.value.code


async def test_a_model_that_cannot_be_loaded_and_a_slow_picture(settings: EngineSettings) -> None:
    broken = replace(settings, captioner="tests.inference.fakes:load_broken")
    async with listening(http_app(broken)) as port, RemoteEngine(f"http://127.0.0.1:{port}") as engine:
        with pytest.raises(ModelNotLoaded, match=r"config\.json has no 'encoder'"):
            await engine.caption(fakes.picture())
    slow = replace(settings, picture_timeout=0.2)
    async with listening(http_app(slow)) as port, RemoteEngine(f"http://127.0.0.1:{port}") as engine:
        with pytest.raises(PictureTimeout, match=r"longer than 0.2 seconds"):
            await engine.caption(fakes.picture(fakes.HANG))


async def test_a_full_queue_is_told(settings: EngineSettings) -> None:
    app = http_app(replace(settings, queue_size=1))
    async with listening(app) as port, RemoteEngine(f"http://127.0.0.1:{port}") as engine:
        first = asyncio.create_task(engine.caption(fakes.picture(fakes.WAIT)))
        await until(lambda: app[ENGINE].waiting == 1)
        assert engine.waiting == 1
        with pytest.raises(EngineBusy, match="1 pictures are waiting"):
            await engine.caption(fakes.picture())
        open_gate()
        assert (await first).model == "first"


async def test_pictures_that_come_together_are_one_batch(
    service: tuple[RemoteEngine, web.Application], tmp_path: Path
) -> None:
    engine, app = service
    await engine.caption(fakes.picture())
    first = asyncio.create_task(engine.caption(fakes.picture(fakes.WAIT, (9, 9))))
    await until(lambda: '"batch": [[9, 9]]' in log(tmp_path))
    others = [asyncio.create_task(engine.caption(fakes.picture(size=(10 + i, 8)))) for i in range(3)]
    await until(lambda: app[ENGINE].queued == 3)
    open_gate()
    captions = await asyncio.gather(first, *others)
    assert [caption.summary for caption in captions] == ["9 x 9", "10 x 8", "11 x 8", "12 x 8"]
    batches = [line for line in log(tmp_path).splitlines() if '"batch"' in line]
    assert len(batches) == 3  # one alone, the one that waited, the three


async def test_a_caller_that_goes_gives_its_place_back(
    service: tuple[RemoteEngine, web.Application],
) -> None:
    engine, app = service
    task = asyncio.create_task(engine.caption(fakes.picture(fakes.WAIT)))
    await until(lambda: app[ENGINE].waiting == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    open_gate()
    await until(lambda: app[ENGINE].waiting == 0)
    assert engine.waiting == 0


async def test_what_is_no_proper_request_gets_a_sentence(
    service: tuple[RemoteEngine, web.Application],
) -> None:
    engine, _ = service
    async with aiohttp.ClientSession() as session:
        for options in (
            "{", '{"beams": 0}', '{"unknown": 1}', "[]", "[" * 2000, '{"seed": ' + "9" * 4900 + "}",
            '{"temperature": NaN}', '{"beams": 1000000000}', '{"max_tokens": 1000000000}', '{"top_p": 1e999}',
        ):  # fmt: skip
            url = f"{engine.url}/caption"
            async with session.post(url, params={"options": options}, data=fakes.picture()) as response:
                assert response.status == 400
                assert "decoding options cannot be used" in (await response.json())["sentence"]
        async with session.get(f"{engine.url}/elsewhere") as response:
            assert response.status == 404
            assert "POST a picture to /caption" in (await response.json())["sentence"]
    with pytest.raises(PictureError) as caught:
        await engine.caption(b"\xff" * (MAX_BYTES + 1))
    assert caught.value.code == "too_large"


async def test_a_service_that_starts_late_is_waited_for(settings: EngineSettings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with RemoteEngine(f"http://127.0.0.1:{port}") as engine:
        assert not engine.healthy
        asked = asyncio.create_task(engine.caption(fakes.picture()))
        await asyncio.sleep(0)
        async with listening(http_app(settings), port):
            assert (await asked).model == "first"


async def test_nobody_and_somebody_else_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.serving.remote._PAUSES", (0.01,))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with RemoteEngine(url) as engine:
        for ask in (
            engine.caption(b"x"),
            asyncio.to_thread(engine.checkpoint),
            asyncio.to_thread(engine.models),
        ):
            with pytest.raises(EngineError, match=r"cannot be reached .*: try again later"):
                await ask
    with pytest.raises(EngineError, match="not running"):
        await engine.caption(b"x")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>")

    async def other_json(_: web.Request) -> web.Response:
        return web.json_response({"hello": 1})

    for handler, sentence in ((page, "cannot be reached .HTTP status 200"), (other_json, "check ENGINE_URL")):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        async with listening(app) as port, RemoteEngine(f"http://127.0.0.1:{port}") as engine:
            asks: list[Awaitable[object]] = [
                engine.caption(b"x"),
                asyncio.to_thread(engine.checkpoint),
                asyncio.to_thread(engine.models),
            ]
            for asked in asks:
                with pytest.raises(EngineError, match=sentence):
                    await asked
    for wrong in ("", "example.org:8100", "ftp://example.org"):
        with pytest.raises(ValueError, match="write it as http://HOST:PORT"):
            RemoteEngine(wrong)


async def test_an_answer_that_takes_too_long(settings: EngineSettings) -> None:
    async with (
        listening(http_app(settings)) as port,
        RemoteEngine(f"http://127.0.0.1:{port}", timeout=0.5) as engine,
    ):
        with pytest.raises(PictureTimeout, match=r"did not answer within 0.5 seconds"):
            await engine.caption(fakes.picture(fakes.WAIT))
        open_gate()


async def test_the_command_serves_until_it_is_told_to_stop(settings: EngineSettings) -> None:
    arguments = ["serve", "--port", "0", "--model", "first", "--models-dir", str(settings.models_dir)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inference", *arguments, "--captioner", settings.captioner,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            said = (await process.stdout.readline()).decode()
            assert said.startswith("Running on http://127.0.0.1:")
            async with RemoteEngine(said.split()[-1]) as engine:
                assert (await engine.caption(fakes.picture())).summary == "32 x 24"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_command_says_what_is_wrong(settings: EngineSettings, tmp_path: Path) -> None:
    for arguments, sentence in (
        (["--models-dir", str(tmp_path / "none")], "There is no model named 'meme-small'"),
        (
            ["--models-dir", str(settings.models_dir), "--model", "first", "--host", "256.0.0.1"],
            "cannot be started",
        ),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "inference", "serve", "--port", "0", *arguments, "--captioner",
            settings.captioner, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(DEADLINE):
            _, said = await process.communicate()
        assert process.returncode == 2
        assert sentence in said.decode().splitlines()[-1]
