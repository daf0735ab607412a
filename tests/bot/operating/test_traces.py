"""An id follows a picture: through the logs of the real process, its engine, opener and worker."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox import Sandbox
from tests.bot.conftest import reply_to
from tests.bot.test_restart import Starts, environment, process  # noqa: F401 - fixtures
from tests.inference.fakes import POISON, RAISE, picture


@pytest.fixture
async def told(
    environment: dict[str, str],  # noqa: F811
    process: Starts,  # noqa: F811
    tmp_path: Path,
    sandbox: Sandbox,
) -> AsyncIterator[list[dict[str, Any]]]:
    """The log of a bot that met a picture on which the model fails, and one over which the worker dies."""
    async with process(environment | {"LOG_FORMAT": "json"}, tmp_path) as bot:
        for number, colour in enumerate((RAISE, POISON)):
            await reply_to(sandbox, await sandbox.send_document(picture(colour), f"{number}.png"))
        bot.send_signal(signal.SIGTERM)
        await bot.wait()
    yield [json.loads(line) for line in (tmp_path / "bot.log").read_text("utf-8").splitlines()]


async def test_one_id_finds_all_that_was_said_of_a_picture(told: list[dict[str, Any]]) -> None:
    def loggers(job: str) -> set[str]:
        return {one["logger"] for one in told if one.get("picture") == job}

    # In the worker, in the bot's side of the engine, and where the person is answered.
    assert {"inference.serving.worker", "bot.captioning.engine", "bot.captioning.answering"} <= loggers("1")
    assert {"inference.serving.engine", "bot.captioning.answering"} <= loggers("2")
    (failed, *traceback) = [
        one["event"]
        for one in told
        if one["logger"] == "inference.serving.worker" and one.get("picture") == "1"
    ]
    assert "could not be captioned" in failed and "RuntimeError: the fake" in traceback
    # What is of no picture has none.
    started = [one for one in told if "Working as" in one["event"] or "worker started" in one["event"]]
    assert started and not any("picture" in one for one in started[:2])
