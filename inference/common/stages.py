"""Where time goes: whoever does a part of the work names it, whoever wants to know collects.

Names are paths, such as "read.detect": what a stage takes includes its parts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["collected", "stage"]

_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextmanager
def collected() -> Iterator[dict[str, float]]:
    """The seconds of the stages within, by their names, in the order in which they first begin."""
    seconds: dict[str, float] = {}
    token = _seconds.set(seconds)
    try:
        yield seconds
    finally:
        _seconds.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Times what is done within, added to what earlier ones of that name took; also of what fails."""
    seconds = _seconds.get()
    if seconds is None:
        yield
        return
    seconds.setdefault(name, 0.0)
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] += time.perf_counter() - started
