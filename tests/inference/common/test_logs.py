"""No secret reaches a log, by any way."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from yarl import URL

from inference.common.logs import RedactingRecordFactory, Redactor, secrets_in_environment

TOKEN = f"123456789:{'Ab-_' * 9}"


@pytest.fixture
def clean_records() -> Iterator[None]:
    """Records of this test are made by our factory; the usual one is back afterwards."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(RedactingRecordFactory(Redactor(["pa55word"])))
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("clean_records")
def test_messages_arguments_tracebacks_and_causes_are_clean(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test")
    try:
        try:
            raise ValueError(f"http://host/file/bot{TOKEN}/photos/1.jpg")
        except ValueError as error:
            raise RuntimeError("pa55word") from error
    except RuntimeError:
        logger.exception("Fetching %s failed", f"/bot{TOKEN}/getFile")
    logger.warning("%s of %d", "pa55word", "not a number")
    logger.warning(ValueError(TOKEN), stack_info=True)
    logger.warning("as %s", TOKEN.replace(":", "%3A"))
    assert "Fetching /bot[redacted]/getFile failed" in caplog.text
    assert "http://host/file/bot[redacted]/photos/1.jpg" in caplog.text
    assert "RuntimeError: [redacted]" in caplog.text
    for secret in (TOKEN, TOKEN.split(":")[1], "pa55word"):
        assert secret not in caplog.text
        assert all(secret not in str(vars(record)) for record in caplog.records)


@pytest.mark.usefixtures("clean_records")
def test_what_holds_no_secret_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("job %d at %s", 7, "12:34:56")
    assert caplog.records[0].args == (7, "12:34:56")
    assert caplog.records[0].message == "job 7 at 12:34:56"


def test_an_uncaught_exception_is_clean_too() -> None:
    code = (
        "from inference.common.logs import setup_logging\n"
        f"setup_logging('INFO', [{TOKEN!r}])\n"
        f"raise RuntimeError('the token is ' + {TOKEN!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the token is [redacted]" in done.stderr
    assert TOKEN not in done.stderr


@pytest.mark.parametrize(
    "secret",
    [
        "pa55-w0rd",
        "пароль от базы",
        "with space+and/slash",
        "quo'te\"and\\back",
        "50%25off",
        "a@b:c?d#e",
        "(*[regex",
    ],
)
def test_a_secret_is_hidden_however_it_is_written(secret: str) -> None:
    redact = Redactor([secret])
    pair = URL.build(scheme="http", user="bot", password=secret, host="box")
    ways = [
        secret, repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret),
        quote(secret, safe=""), quote_plus(secret), quote(secret, safe="").lower(), str(pair), repr(pair),
        f"Cannot connect to {pair}/caption: {secret!r}",
    ]  # fmt: skip
    for way in ways:
        told = redact(f"before {way} after")
        assert told.startswith("before ") and told.endswith(" after")
        for part in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
        ):
            assert part.lower() not in told.lower(), way


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("to http://bot:x@box:80/caption", "to http://bot:[redacted]@box:80/caption"),
        ("postgresql+asyncpg://u:p@ss@h/n?a=b", "postgresql+asyncpg://u:[redacted]@h/n?a=b"),
        ("http://box:8100/a@b and x@y", "http://box:8100/a@b and x@y"),
        ("sqlite+aiosqlite:///data/bot.db", "sqlite+aiosqlite:///data/bot.db"),
    ],
)
def test_a_password_in_an_address_is_hidden_although_nobody_told_of_it(text: str, told: str) -> None:
    assert Redactor()(text) == told


def test_what_the_environment_names_like_a_secret_is_hidden() -> None:
    environment = {
        "VK_TOKEN": "vk1.a.abcdefgh", "SERVE_API_KEYS": "first-key, second-key", "HF_TOKEN": "hf_abcdefgh",
        "CI_TOKEN": "true", "PATH": "/usr/bin/secret", "DB_PASSWORD": "correct horse",
    }  # fmt: skip
    found = secrets_in_environment(environment)
    assert set(found) == {"vk1.a.abcdefgh", "first-key", "second-key", "hf_abcdefgh", "correct horse"}


def test_what_the_env_file_names_like_a_secret_is_hidden_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-of-a-server\nMODEL=openai:tiny\nHF_TOKEN=\n")
    code = (
        "import logging\nfrom inference.common.logs import setup_logging\nsetup_logging()\n"
        "logging.warning('openai:tiny refuses sk-of-a-server')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "openai:tiny refuses [redacted]" in done.stderr


def test_an_exception_of_a_thread_is_clean_too() -> None:
    code = (
        "import threading\nfrom inference.common.logs import setup_logging\n"
        f"setup_logging('INFO', [{TOKEN!r}])\n"
        f"def work():\n    raise RuntimeError('the token is ' + {TOKEN!r})\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
        "class Bad:\n    def __del__(self):\n        work()\n"
        "Bad()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.count("the token is [redacted]") == 2
    assert TOKEN not in done.stderr


def test_json_has_one_object_a_line_for_our_records_and_those_of_libraries() -> None:
    program = f"""
import logging, warnings
from inference.common.logs import setup_logging
from inference.common.tracing import of_picture

setup_logging("INFO", ["pa55word"], log_format="json")
with of_picture("7"):
    logging.getLogger("bot.captioning").info("Job %d: %s", 7, "two\\nlines of pa55word")
try:
    raise ValueError("http://host/bot{TOKEN}/getFile")
except ValueError:
    logging.getLogger("aiohttp.client").exception("Кот")
logging.getLogger("sqlalchemy").warning("at %s", "postgresql://user:hidden@host/base")
warnings.warn("old")
raise RuntimeError("pa55word")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(one["level"], one["logger"]) for one in told] == [
        ("info", "bot.captioning"),
        ("error", "aiohttp.client"),
        ("warning", "sqlalchemy"),
        ("warning", "py.warnings"),
        ("critical", "inference.common.logs"),
    ]
    assert told[0]["picture"] == "7"
    assert told[0]["event"] == "Job 7: two\nlines of [redacted]"
    assert told[1]["event"] == "Кот" and "picture" not in told[1]
    assert told[1]["exception"].endswith("ValueError: http://host/bot[redacted]/getFile")
    assert told[4]["exception"].endswith("RuntimeError: [redacted]")
    assert all(one["time"].endswith("+00:00") for one in told)
    for secret in ("pa55word", TOKEN, "hidden"):
        assert secret not in done.stderr


def test_a_line_of_text_names_the_picture() -> None:
    program = """
import logging
from inference.common.logs import setup_logging
from inference.common.tracing import of_picture

setup_logging("INFO")
with of_picture("7"):
    logging.getLogger("bot").info("Here")
logging.getLogger("bot").info("There")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    here, there = done.stderr.splitlines()
    assert here.endswith("INFO    bot: [picture 7] Here")
    assert there.endswith("INFO    bot: There")


def test_bytes_that_are_no_request_are_no_error_of_ours() -> None:
    program = """
import asyncio
from aiohttp import web
from inference.common.logs import setup_logging

setup_logging("INFO")

async def broken(request):
    raise RuntimeError("ours")

async def main():
    app = web.Application()
    app.router.add_get("/", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for header in (b"X: pri\\x01vate", b"X: y"):
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n" + header + b"\\r\\n\\r\\n")
        print((await reader.readline()).decode().split()[1])
        writer.close()
    await runner.cleanup()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["400", "500"]
    assert done.stderr.count("Traceback") == 1
    assert "RuntimeError: ours" in done.stderr
    assert "vate" not in done.stderr
