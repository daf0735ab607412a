"""A bot whose models run elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp import web

from bot.__main__ import _engine
from bot.app import build
from bot.config import Settings
from bot.sandbox import Sandbox
from inference.serving.remote import RemoteEngine
from inference.serving.serve import http_app
from tests.bot.conftest import caption_of, reply_to, serving, until
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


async def test_pictures_are_described_by_a_service(
    settings: Callable[..., Settings], sandbox: Sandbox, unused_tcp_port: int
) -> None:
    local = settings()
    write_checkpoint(local.models_dir, "other")
    runner = web.AppRunner(http_app(local.engine))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    try:
        remote = settings(
            engine_url=f"http://127.0.0.1:{unused_tcp_port}/", models_dir=local.data_dir, compare_with="other"
        )
        engine = _engine(remote)
        assert isinstance(engine, RemoteEngine)
        async with (
            engine,
            build(remote, engine, token=sandbox.token, api_url=sandbox.url) as app,
            serving(app, sandbox),
        ):
            answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
            row = await app.store.captions.get(caption_of(answer))
            assert row is not None and row.model == "fake"
            page = await reply_to(sandbox, await sandbox.send_text("/compare"))
            assert "от fake и от other" in page["text"]
    finally:
        await runner.cleanup()


async def test_a_picture_waits_for_a_service_that_restarts(
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    unused_tcp_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = web.AppRunner(http_app(settings().engine))
    await runner.setup()
    try:
        remote = settings(engine_url=f"http://127.0.0.1:{unused_tcp_port}")
        async with (
            _engine(remote) as engine,
            build(remote, engine, token=sandbox.token, api_url=sandbox.url) as app,
            serving(app, sandbox),
        ):
            page = await reply_to(sandbox, await sandbox.send_text("/model"))
            assert page["text"].startswith("У меня что-то сломалось.")
            (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
            assert "cannot be reached" in told.getMessage() and told.exc_info is None
            photo = await sandbox.send_photo(MEME)

            async def accepted() -> bool:
                return app.captioning.unfinished > 0

            await until(accepted)
            await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
            assert (await reply_to(sandbox, photo))["text"].startswith("400 x")
    finally:
        await runner.cleanup()
