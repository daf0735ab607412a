"""What reaches Sentry: a server of its protocol, on this machine, gets reports that name nobody."""

from __future__ import annotations

import gzip
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.config import OperatorError, Settings
from bot.operating.error_reports import ErrorReports
from bot.sandbox import ME, Sandbox
from inference.common.logs import RedactingRecordFactory, Redactor
from tests.bot.conftest import reply_to, until, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import RAISE, picture

SECRET = "слова с картинки"
MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


class Sink:
    """What was posted."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp has undone the encoding where it knows it
        self.bodies.append((gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode())
        return web.json_response({"id": "0"})

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of each envelope, which is a line of its own, one about the item, and the item."""
        return [json.loads(body.split("\n")[2]) for body in self.bodies]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    app = web.Application()
    app.router.add_post("/api/1/envelope/", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
def reporting(sink: Sink) -> Iterator[ErrorReports]:
    """Records are made as in the bot, and errors are told to the sink."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(RedactingRecordFactory(Redactor()))
    reports = ErrorReports.start(f"http://publickey@127.0.0.1:{sink.port}/1")
    yield reports
    reports.stop()
    logging.setLogRecordFactory(before)


def fail_over(text: str, person: int) -> None:
    caption = {"text": text, "person": person}
    raise KeyError(f"{person} said {caption}")


@pytest.mark.usefixtures("reporting")
async def test_a_report_says_where_and_of_which_kind_and_nothing_else(sink: Sink) -> None:
    try:
        try:
            fail_over(SECRET, 12345678)
        except KeyError as error:
            raise RuntimeError(SECRET) from error
    except RuntimeError:
        logging.getLogger("bot.handlers").exception("Update %d of %s failed", 12345678, SECRET)
    logging.getLogger("bot").info("%s", SECRET)
    logging.getLogger("aiogram").error(f"{SECRET} of 12345678")

    async def all_came() -> bool:
        return len(sink.bodies) == 2

    await until(all_came)
    ours, foreign = sorted(sink.events, key=lambda event: event["logger"], reverse=True)
    assert ours["logentry"] == {"message": "Update %d of %s failed"}
    kinds = [
        (one["type"], one["stacktrace"]["frames"][-1]["function"]) for one in ours["exception"]["values"]
    ]
    assert kinds == [
        ("KeyError", "fail_over"),
        ("RuntimeError", "test_a_report_says_where_and_of_which_kind_and_nothing_else"),
    ]
    assert foreign["logger"] == "aiogram" and foreign["logentry"] == {"message": ""}
    for body in sink.bodies:
        assert SECRET not in body and json.dumps(SECRET)[1:-1] not in body
        assert "12345678" not in body
        assert socket.gethostname() not in body
        assert str(Path.cwd()) not in body


@pytest.mark.usefixtures("reporting")
async def test_what_a_bot_at_work_reports_names_nobody(
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    sink: Sink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object, **fields: object) -> None:
        raise OSError(f"the disk is full: {fields}")

    async with working(settings(), sandbox) as app:
        await reply_to(sandbox, await sandbox.send_document(picture(RAISE), "a.png", caption=SECRET))
        with monkeypatch.context() as patch:
            patch.setattr(app.store.jobs, "accept", broken)
            await reply_to(sandbox, await sandbox.send_photo(MEME, caption=SECRET))

    async def handler_told() -> bool:
        return any(event["logger"] == "bot.handlers.errors" for event in sink.events)

    await until(handler_told)
    told = {event["logger"]: event for event in sink.events}
    assert told["bot.handlers.errors"]["exception"]["values"][-1]["type"] == "OSError"
    assert told["bot.captioning.engine"]["logentry"] == {"message": "No caption: %s"}
    user = sandbox.world.users[ME]
    for body in sink.bodies:
        for word in (SECRET, json.dumps(SECRET)[1:-1], str(ME), sandbox.token, str(tmp_path), "disk is full"):
            assert word not in body, body
        assert user["first_name"] not in body


def test_an_address_that_is_none_is_an_error_of_one_sentence() -> None:
    with pytest.raises(OperatorError, match="SENTRY_DSN"):
        ErrorReports.start("https://example.org")
