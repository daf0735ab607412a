"""Long work between whose parts something short may be done, without threads: whoever does the long work
says where, whoever has something short to do offers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["interruptible", "may_be_interrupted"]

_offered: ContextVar[Callable[[], None] | None] = ContextVar("offered", default=None)


@contextmanager
def interruptible(by: Callable[[], None]) -> Iterator[None]:
    """``by`` is called wherever the work within may be interrupted; it need not do anything."""
    token = _offered.set(by)
    try:
        yield
    finally:
        _offered.reset(token)


def may_be_interrupted() -> None:
    """Called by long work where nothing is half done: the same code may be run for something else now."""
    by = _offered.get()
    if by is None:
        return
    token = _offered.set(None)  # what is done now is not interrupted by this
    try:
        by()
    finally:
        _offered.reset(token)
