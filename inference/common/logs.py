"""Logging to stderr in which no secret appears, whoever wrote the record and whatever the traceback holds."""

from __future__ import annotations

import base64
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal
from urllib.parse import unquote

from inference.common import settings_file
from inference.common.tracing import name_picture

logger = logging.getLogger(__name__)

LogFormat = Literal["text", "json"]

REDACTED = "[redacted]"

_SHORTEST = 4  # characters: hiding a shorter word everywhere would leave no log; in an address it is hidden

# A bot's token as it stands in texts and in addresses (/bot<id>:<secret>/...), known to us or not.
_TOKEN = re.compile(r"\d{3,}(?::|%3A)[A-Za-z0-9_-]{20,}", re.IGNORECASE)
# The password in any address, known to us or not.
_PASSWORD = re.compile(r"(://[^\s/?#:@'\"]*:)[^\s/?#]*@")
_USERINFO = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#\s]*)@", re.IGNORECASE)
# As SQLAlchemy reads it.
_LOOSE_USERINFO = re.compile(r"([a-z][a-z0-9+.-]*)://([^/@:]*:[^@]*)@", re.IGNORECASE)
_NAMED = r"(?:password|passwd|secret|token|api_?keys?)"
_PARAMETER = re.compile(rf"[?&][^=&#]*{_NAMED}=([^&#\s]+)", re.IGNORECASE)
_SECRET_NAME = re.compile(rf"{_NAMED}$", re.IGNORECASE)


class Redactor:
    """Takes known secrets, and what is shaped like a bot token or an address's password, out of texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Also hide this one, as it is and in the ways that addresses, JSON and Python's repr write it."""
        self._secrets |= {one for one in (secret, unquote(secret)) if len(one) >= _SHORTEST}
        # Longest first: a secret that is a part of another must not leave the rest of it standing.
        ways = ["".join(map(_written, one)) for one in sorted(self._secrets, key=len, reverse=True)]
        self._pattern = re.compile("|".join(ways)) if ways else None

    def __call__(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        return _PASSWORD.sub(rf"\1{REDACTED}@", _TOKEN.sub(REDACTED, text))


def _written(character: str) -> str:
    """A pattern of the ways in which a character of a secret is written."""
    percent = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    halves = character.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(rf"\\u{halves[at : at + 4]}" for at in range(0, len(halves), 4))
    plain = rf"\\?{re.escape(character)}" if character in "\"'\\/" else re.escape(character)
    space = r"|\+" if character == " " else ""
    return rf"(?:{plain}|(?i:{percent})|(?i:{escaped}){space})"


def secrets_in_address(address: str) -> tuple[str, ...]:
    """What an address holds that is nobody's business: its password, or whatever stands in its place."""
    found: list[str] = []
    for pattern in (_USERINFO, _LOOSE_USERINFO):
        if match := pattern.match(address):
            user, colon, password = match[2].partition(":")
            web = match[1].startswith("http")
            if colon:
                found.append(password)
                if web:  # as it goes over the wire
                    pair = f"{unquote(user)}:{unquote(password)}".encode()
                    found.append(base64.b64encode(pair).decode())
            elif web:  # a key in the user's place
                found.append(user)
    found += (match[1] for match in _PARAMETER.finditer(address))
    return tuple(dict.fromkeys(one for one in found if one))


def secrets_in_environment(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of what is named like a secret, of whichever program."""
    values = (value for name, value in environment.items() if _SECRET_NAME.search(name))
    # A short one may as well be a word: CI_USES_TOKEN=true.
    return tuple(part.strip() for value in values for part in value.split(",") if len(part.strip()) >= 8)


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception without what it says: that may be anybody's."""

    kind: str
    module: str
    frames: tuple[tuple[str, str, int], ...]  # module, function, line; the innermost last


def _raised(error: BaseException | None) -> Iterator[Raised]:
    """The exception and those that led to it, the first one first."""
    if error is None:
        return
    yield from _raised(error.__cause__ or (None if error.__suppress_context__ else error.__context__))
    frames = tuple(
        (frame.f_globals.get("__name__", ""), frame.f_code.co_name, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    )
    yield Raised(type(error).__name__, type(error).__module__, frames)


class RedactingRecordFactory:
    """Makes log records that are clean already, so that every handler of every library is covered.

    A formatter would clean only what our own handler prints; a record is read by all of them.
    """

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)  # type: ignore[arg-type]  # as logging gives them
        # The sentence as it stands in the program.
        record.__dict__["template"] = self._redact(record.msg) if isinstance(record.msg, str) else ""
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
            record.__dict__["raised"] = tuple(_raised(record.exc_info[1]))
            # Formatters print exc_text when it is there instead of formatting the exception themselves.
            record.exc_text = self._redact("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
            # Not left for a handler that formats it on its own (exc_text stays what is printed).
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._redact(record.stack_info)
        name_picture(record)
        return record


def _of_a_request(record: logging.LogRecord) -> bool:
    """Whether it is not about bytes that are no request of HTTP: whoever finds the port may send some.
    They are answered with 400, and aiohttp tells of them as of an error of ours, with what stood in them."""
    raised: tuple[Raised, ...] = record.__dict__.get("raised", ())
    return not raised or raised[-1].module != "aiohttp.http_exceptions"


def _text() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(about)s%(message)s")


def _json() -> logging.Formatter:
    """One JSON object a line: time, level, logger, event, the picture's id, the traceback."""
    from structlog import stdlib  # noqa: PLC0415 - only where it is wanted
    from structlog.processors import JSONRenderer  # noqa: PLC0415

    def told(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        record: logging.LogRecord = event["_record"]
        parts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "picture": getattr(record, "picture", ""),
            "event": event["event"],
            # Made and cleaned with the record: see RedactingRecordFactory.
            "exception": record.exc_text,
            "stack": record.stack_info,
        }
        # An empty line of a traceback, from another process, is one too.
        return {name: value for name, value in parts.items() if value or name == "event"}

    return stdlib.ProcessorFormatter(foreign_pre_chain=[told], processors=[JSONRenderer(ensure_ascii=False)])


FORMATS: dict[LogFormat, Callable[[], logging.Formatter]] = {"text": _text, "json": _json}


def setup_logging(
    level: str = "INFO", secrets: Iterable[str] = (), *, log_format: LogFormat = "text"
) -> Redactor:
    """Log to stderr at ``level``; returns the redactor, to which secrets learnt later can be added.

    What the environment, or ``.env``, names like a secret is hidden too. Uncaught exceptions, of threads as
    well, are logged through the same records instead of being printed raw.
    """
    written = {name: value for name, value in settings_file.written().items() if value}
    redact = Redactor([*secrets, *secrets_in_environment(written), *secrets_in_environment(os.environ)])
    logging.setLogRecordFactory(RedactingRecordFactory(redact))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[log_format]())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line for each update and each HTTP request drowns what matters.
    if level != "DEBUG":
        for noisy in ("aiogram.event", "aiohttp.access", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        logging.getLogger("aiohttp.server").addFilter(_of_a_request)
    logging.captureWarnings(True)

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:  # pragma: no cover - runs only while an interpreter dies; tested in a child process
        if issubclass(kind, KeyboardInterrupt):
            return
        logger.critical("The program stopped.", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            told = (args.exc_type, args.exc_value, args.exc_traceback)
            logger.error("A thread stopped.", exc_info=told)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            told = (args.exc_type, args.exc_value, args.exc_traceback)
            logger.error("%s", args.err_msg or "Exception ignored", exc_info=told)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
    return redact
