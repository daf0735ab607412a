"""No secret reaches a log, by any way."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from bot.logs import RedactingRecordFactory, Redactor

TOKEN = f"123456789:{'Ab-_' * 9}"


@pytest.fixture
def clean_records() -> None:
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
        "from bot.logs import setup_logging\n"
        f"setup_logging('INFO', [{TOKEN!r}])\n"
        f"raise RuntimeError('the token is ' + {TOKEN!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the token is [redacted]" in done.stderr
    assert TOKEN not in done.stderr
