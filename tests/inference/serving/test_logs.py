"""What the service logs (LOG_FORMAT, LOG_LEVEL): the real command, its worker, threads that ask a server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference.serving.remote import PICTURE_HEADER
from tests.inference.chat_server import SAID, ChatServer, refuses
from tests.inference.fakes import RAISE, WAIT, picture, write_checkpoint

ROOT = Path(__file__).parents[3]
KEY, SERVE_KEY = "sk-not-to-be-told-to-anybody", "first key of this service"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(key=KEY) as double:
        yield double


@asynccontextmanager
async def serving(folder: Path, settings: str) -> AsyncIterator[str]:
    """The address of the command at work, with these lines in its .env; its log is the file "log"."""
    write_checkpoint(folder / "models", "fake")
    (folder / ".env").write_text(settings)
    arguments = ["--model", "fake", "--models-dir", str(folder / "models"), "--captioner"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "inference", "serve", "--port", "0", *arguments),
            "tests.inference.fakes:load_here_or_elsewhere",
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "FAKE_GATE": str(folder / "gate"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            said = (await process.stdout.readline()).decode()
        assert said.startswith("Running on "), (folder / "log").read_text()
        yield said.split()[-1]
    finally:
        process.terminate()
        await process.wait()


async def test_one_id_finds_all_that_was_said_of_a_picture(tmp_path: Path, server: ChatServer) -> None:
    settings = [
        *("LOG_FORMAT=json", f"SERVE_API_KEYS={SERVE_KEY}"),
        *(f"OPENAI_BASE_URL={server.url}", f"OPENAI_API_KEY={KEY}"),
    ]
    key = {"Authorization": f"Bearer {SERVE_KEY}"}
    server.script.extend([refuses(500, KEY, Retry_After="0.01")] * 2)
    async with serving(tmp_path, "\n".join(settings)) as url, aiohttp.ClientSession(headers=key) as session:

        async def caption(number: int, data: bytes, model: str) -> tuple[int, dict[str, Any]]:
            headers = {PICTURE_HEADER: str(number)}
            async with session.post(
                f"{url}/caption", params={"model": model}, data=data, headers=headers
            ) as answer:
                return answer.status, await answer.json()

        async def opened() -> float:
            async with session.get(f"{url}/metrics") as answer:
                families = text_string_to_metric_families(await answer.text())
            (one,) = (family for family in families if family.name == "meme_engine_opened_pictures")
            return one.samples[0].value

        # While the worker has this one to do, others wait, which it is then handed together.
        held = asyncio.create_task(caption(8, picture(WAIT), "fake"))
        pair = [asyncio.create_task(caption(number, picture(), "openai:tiny")) for number in (9, 10)]
        other = [asyncio.create_task(caption(6, picture(), "fake"))]
        other.append(asyncio.create_task(caption(7, picture(RAISE), "fake")))
        async with asyncio.timeout(120):
            while await opened() < 4:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.05)
        (tmp_path / "gate").touch()
        assert (await held)[0] == 200
        assert [status for status, _ in await asyncio.gather(*other)] == [200, 500]
        assert [(status, told["text"]) for status, told in await asyncio.gather(*pair)] == [(200, SAID)] * 2
    log = (tmp_path / "log").read_text()
    told = [json.loads(line) for line in log.splitlines()]
    failed = [one for one in told if "could not be captioned" in one["event"]]
    assert [(one["picture"], one["level"], one["logger"]) for one in failed] == [
        ("7", "error", "inference.serving.worker")
    ]
    repeated = [one["picture"] for one in told if "Retrying request" in one["event"]]
    assert sorted(repeated) == ["10", "9"]
    # What is of no picture has no id.
    assert [one.get("picture") for one in told if "worker started" in one["event"]] == [None]
    assert all(one["time"].endswith("+00:00") for one in told)
    assert KEY not in log and SERVE_KEY not in log


async def test_as_text_a_line_names_the_picture_and_less_is_said_where_that_is_wanted(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, "LOG_LEVEL=error\n") as url, aiohttp.ClientSession() as session:
        headers = {PICTURE_HEADER: "7"}
        async with session.post(f"{url}/caption", data=picture(RAISE), headers=headers) as answer:
            assert answer.status == 500
    first, *rest = (tmp_path / "log").read_text().splitlines()
    assert "ERROR   inference.serving.worker: [picture 7] A picture of 32 x 24 could not be" in first
    assert all(" ERROR " in line for line in rest)


def test_a_word_that_is_no_format_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inference", "serve"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LOG_FORMAT": "xml"},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "LOG_FORMAT is 'xml': set it to one of text, json.\n")
