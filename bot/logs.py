"""Logging to stderr in which no secret appears, whoever wrote the record and whatever the traceback holds."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType

REDACTED = "[redacted]"

# A Bot API token as it stands in texts and in addresses (/bot<id>:<secret>/...), known to us or not.
_TOKEN = re.compile(r"\d{3,}(?::|%3A)[A-Za-z0-9_-]{20,}", re.IGNORECASE)


class Redactor:
    """Takes known secrets, and everything shaped like a bot token, out of texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Also hide this one, as it is and percent-encoded."""
        if secret:
            self._secrets |= {secret, secret.replace(":", "%3A"), secret.replace(":", "%3a")}

    def __call__(self, text: str) -> str:
        # Longest first: a secret that is a part of another must not leave the rest of it standing.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        return _TOKEN.sub(REDACTED, text)


class RedactingRecordFactory:
    """Makes log records that are clean already, so that every handler of every library is covered.

    A formatter would clean only what our own handler prints; a record is read by all of them.
    """

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)  # type: ignore[arg-type]
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that do not fit: their repr could hold a secret
            message = f"{record.msg!s} {record.args!r}"
            record.msg, record.args = self._redact(message), ()
        else:
            clean = self._redact(message)
            if clean != message:
                record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            # Formatters print exc_text when it is there instead of formatting the exception themselves.
            record.exc_text = self._redact("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
            # Not left for a handler that formats it on its own (exc_text stays what is printed).
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._redact(record.stack_info)
        return record


def setup_logging(level: str = "INFO", secrets: Iterable[str] = ()) -> Redactor:
    """Log to stderr at ``level``; returns the redactor, to which secrets learnt later can be added.

    Uncaught exceptions are logged through the same records instead of being printed raw.
    """
    redact = Redactor(secrets)
    logging.setLogRecordFactory(RedactingRecordFactory(redact))
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr, force=True
    )
    # One line for each update and each HTTP request drowns what matters.
    if level != "DEBUG":
        for noisy in ("aiogram.event", "aiohttp.access", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:  # pragma: no cover - runs only while an interpreter dies; tested in a child process
        if issubclass(kind, KeyboardInterrupt):
            return
        logging.getLogger("bot").critical("The bot stopped.", exc_info=(kind, error, trace))

    sys.excepthook = uncaught
    return redact
