"""``python -m bot`` as an operator types it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import aiohttp
import pytest

from bot.feedback.pictures import PictureFields
from bot.feedback.store import Store
from bot.feedback.tables import Place
from inference.common.types import Caption
from tests.bot.conftest import until
from tests.bot.forked import Bots
from tests.inference.fakes import write_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing but what finds Python, a fake model and this test's database."""
    write_checkpoint(tmp_path / "models", "fake")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/bot.db",
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL": "fake",
        "MODELS_DIR": str(tmp_path / "models"),
        "CAPTIONER": "tests.inference.fakes:load",
    }


Bot: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bot(bots: Bots) -> Bot:
    """Runs the command line with an environment, in a folder, with words, to its end."""

    def run(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        with TemporaryDirectory() as said:
            stdout, stderr = Path(said) / "stdout", Path(said) / "stderr"
            started = bots.start(*words, environment=environment, folder=folder, log=stdout, errors=stderr)
            status = asyncio.run(asyncio.wait_for(started.wait(), 200))
            told = stdout.read_text("utf-8"), stderr.read_text("utf-8")
            return subprocess.CompletedProcess(words, status, *told)

    return run


def test_help_names_the_commands(bot: Bot, environment: dict[str, str], tmp_path: Path) -> None:
    done = bot(environment, tmp_path, "--help")
    assert done.returncode == 0
    for name in ("run", "sandbox", "export", "stats", "erase"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"BOT_TOKEN": "wrong secret"}, "BOT_TOKEN: it must look like"),
        ({"MODEL": "missing"}, "There is no model named 'missing'"),
        ({"AB_MODEL": "missing"}, "AB_MODEL: There is no model named 'missing'"),
        ({"COMPARE_WITH": "missing"}, "COMPARE_WITH: There is no model named 'missing'"),
        # Said by the bot itself: the service need not be up yet.
        ({"ENGINE_URL": "http://127.0.0.1:9", "AB_MODEL": "a+../b"}, "AB_MODEL: '../b' is no name of a hub"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL names mysql"),
        ({"CAPTIONER": "no_such_module:load"}, "no_such_module cannot be imported (ModuleNotFoundError"),
        ({"CAPTIONER": "json:load_all"}, "CAPTIONER is 'json:load_all', and json has no function load_all"),
    ],
)
async def test_what_keeps_the_bot_from_starting_is_one_sentence(
    bots: Bots, environment: dict[str, str], tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    log = tmp_path / "said"
    started = bots.start("run", environment=environment | changes, folder=tmp_path, log=log)
    async with asyncio.timeout(200):
        assert await started.wait() == 1
    said = log.read_text()
    assert sentence in said
    assert "Traceback" not in said
    assert "wrong secret" not in said
    assert "Working as" not in said  # which is said before the first poll


def test_a_taken_port_is_one_sentence(bot: Bot, environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = bot(environment, tmp_path, "sandbox", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "choose another SANDBOX_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        # Of a network that is for examples alone.
        (("sandbox", "--host", "203.0.113.1", "--port", "0"), "an address of this machine instead of 203.0"),
        (("backup", "--out", "."), ". is a folder: give the file to write."),
        (("restore", "."), ". is a folder: give the file that `backup` wrote."),
        (("restored", "--yes", "--erased", "."), ". cannot be read (Is a directory): give the erased.jsonl"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    bot: Bot, environment: dict[str, str], tmp_path: Path, arguments: Sequence[str], sentence: str
) -> None:
    async def begin() -> None:
        await (await Store.open(environment["DATABASE_URL"], tmp_path / "data")).close()

    asyncio.run(begin())
    done = bot(environment, tmp_path, *arguments)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert sentence in said


def test_an_address_of_no_database_is_told_how_it_is_written(
    bot: Bot, environment: dict[str, str], tmp_path: Path
) -> None:
    done = bot(environment | {"DATABASE_URL": "bot.db"}, tmp_path, "stats")
    assert done.returncode == 1
    assert "sqlite+aiosqlite:///data/bot.db" in done.stderr
    assert "redacted" not in done.stderr  # as a password in the example would be


def test_a_misspelt_setting_is_told(bot: Bot, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ADMIN_ID=1\n")
    done = bot(environment, tmp_path, "stats")
    (warning,) = [line for line in done.stderr.splitlines() if "ADMIN_ID" in line]
    assert warning.endswith("did you mean ADMIN_IDS?")


def test_a_disk_that_is_full_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    async def begin() -> None:
        await (await Store.open(environment["DATABASE_URL"], tmp_path / "data")).close()

    asyncio.run(begin())
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$0" -m bot stats', sys.executable],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "cannot be opened (disk I/O error)" in sentence


def test_feedback_is_exported_counted_and_erased(
    bot: Bot, environment: dict[str, str], tmp_path: Path
) -> None:
    async def collect() -> None:
        async with await Store.open(environment["DATABASE_URL"], tmp_path / "data") as store:
            user = await store.people.meet(77, language="ru")
            await store.people.set_consent(user.id, True)
            ((job, _),) = await store.jobs.accept(
                user_id=user.id, place=Place(77), message_id=1, file_id="f", file_unique_id="u", language="ru"
            )
            fields = PictureFields("u", "0" * 64, 3, 1, 1, b"\xff\xd8\xff")
            caption = Caption("Кот", "Рыжий кот", (), model="fake", checkpoint="0" * 64)
            row = await store.captions.save(job.id, picture=fields, caption=caption)
            await store.marks.rate(user.id, row.id, 5)

    asyncio.run(collect())
    done = bot(environment, tmp_path, "export", "--out", "exported", "--min-rating", "4")
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "exported" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["text"] == "Рыжий кот"
    assert "Marks: 1, by people: 1;" in bot(environment, tmp_path, "stats").stdout
    assert bot(environment, tmp_path, "export", "--out", "x", "--since", "soon").returncode == 1
    assert bot(environment, tmp_path, "erase", "77").returncode == 1  # it asks, and nobody says yes
    assert "Traceback" not in bot(environment, tmp_path, "erase", "9" * 20, "--yes").stderr
    assert "Erased: 1 pictures" in bot(environment, tmp_path, "erase", "77", "--yes").stdout
    assert bot(environment, tmp_path, "erase", "77", "--yes").returncode == 1


async def test_without_a_token_the_bot_serves_its_own_telegram(
    environment: dict[str, str],
    tmp_path: Path,
    unused_tcp_port: int,
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    health = unused_tcp_port_factory()
    ports = {"SANDBOX_PORT": str(unused_tcp_port), "HEALTH_PORT": str(health)}
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "run",
        env=environment | ports,
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession() as session:

            async def works(url: str) -> bool:
                try:
                    async with session.get(url) as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(lambda: works(f"http://127.0.0.1:{unused_tcp_port}/"))
            await until(lambda: works(f"http://127.0.0.1:{health}/readyz"))
        running.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(running.communicate(), 60)
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0
    assert f"Open http://127.0.0.1:{unused_tcp_port} in a browser" in said.decode()
    assert "Traceback" not in said.decode()
