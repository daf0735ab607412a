"""Errors told to Sentry (SENTRY_DSN): where in the program, and of which kind. No text, no id, no picture.

What is sent is made of what is known to hold nothing personal, not cleaned of what is known to hold some:
names of logger, module, function and exception, line numbers, and the sentence of the log as it stands in the
program, before anything is put into it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bot.config import OperatorError
from inference.common.extras import require
from inference.common.logs import Raised
from inference.serving.program import program

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

# What an event may have, whatever a later version of Sentry's client adds of its own accord.
_KNOWN = frozenset(
    {
        *("event_id", "timestamp", "platform", "level", "logger", "logentry", "exception"),
        *("release", "sdk", "type"),
    }
)
_OURS = ("bot", "inference")


class ErrorReports(logging.Handler):
    """Of the root logger. Made by :meth:`start`, which begins to tell of every error that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    @classmethod
    def start(cls, dsn: str) -> ErrorReports:
        """Raises NotInstalled, OperatorError (the address is none of Sentry's)."""
        require("sentry", "SENTRY_DSN")
        import sentry_sdk  # noqa: PLC0415 - an optional dependency
        from sentry_sdk.utils import BadDsn  # noqa: PLC0415

        try:
            sentry_sdk.init(
                dsn=dsn,
                release=program()[:12],
                default_integrations=False,
                auto_enabling_integrations=False,
                auto_session_tracking=False,
                max_breadcrumbs=0,
                server_name="",
                shutdown_timeout=2,
                before_send=_only_what_is_known,
            )
        except BadDsn as error:
            raise OperatorError(
                "SENTRY_DSN is no address of a Sentry project; copy it again from the project's settings."
            ) from error
        reports = cls()
        logging.getLogger().addHandler(reports)
        return reports

    def stop(self) -> None:
        """Send what is left, within two seconds, and no more."""
        import sentry_sdk  # noqa: PLC0415

        logging.getLogger().removeHandler(self)
        sentry_sdk.get_client().close(timeout=2.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of an error."""
        import sentry_sdk  # noqa: PLC0415

        if record.name.startswith(("sentry_sdk", "urllib3")):
            return  # what sends it
        raised: tuple[Raised, ...] = getattr(record, "raised", ())
        event: Event = {
            "level": "fatal" if record.levelno >= logging.CRITICAL else "error",
            "logger": record.name,
            "logentry": {"message": self._sentence(record)},
        }
        if raised:
            event["exception"] = {"values": [_exception(one) for one in raised]}
        sentry_sdk.capture_event(event)

    @staticmethod
    def _sentence(record: logging.LogRecord) -> str:
        """As it stands in the program; a library may have put something into it already."""
        ours = record.name.split(".")[0] in _OURS
        return str(getattr(record, "template", "")) if ours else ""


def _exception(raised: Raised) -> dict[str, Any]:
    frames = [
        {"module": module, "function": function, "lineno": line, "in_app": module.split(".")[0] in _OURS}
        for module, function, line in raised.frames
    ]
    return {"type": raised.kind, "module": raised.module, "stacktrace": {"frames": frames}}


def _only_what_is_known(event: Event, _: Hint) -> Event:
    return {name: value for name, value in event.items() if name in _KNOWN}  # type: ignore[return-value]  # an event of fewer
