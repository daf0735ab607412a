"""Models that a server runs (``openai:NAME``), from a picture to its erasure: over real HTTP, with a real
database and worker, beside a model of this machine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.captioning.models import check_models, key
from bot.config import Settings
from bot.feedback.export import export
from bot.feedback.tables import CaptionRow, Job, TurnRow
from bot.sandbox import Sandbox
from inference.checkpoints import served
from inference.serving.engine import Engine
from tests.bot.conftest import caption_of, data_of, labels, replies_to, reply_to, working
from tests.bot.test_questions import JOKE_BUTTON, MEME, asked, described, rows
from tests.inference.chat_server import SAID, ChatServer, says

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

        assert not files_with(KEY, tmp_path)
        await sandbox.send_text("/forget")
        await sandbox.wait_for(lambda: "ответов на вопросы: 2" in sandbox.messages()[-1]["text"])
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
