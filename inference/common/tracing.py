"""Which picture the present work is for: an id that goes with it from process to process, into every log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["NamesPicture", "name_picture", "of_picture", "picture_id", "readable_id"]

_picture: ContextVar[str] = ContextVar("picture", default="")


def picture_id() -> str:
    """The id of the picture that is worked on, of several with commas between; "": of none."""
    return _picture.get()


@contextmanager
def of_picture(name: str) -> Iterator[None]:
    """What is done within, and by tasks that begin within, is for the picture with this id."""
    token = _picture.set(name)
    try:
        yield
    finally:
        _picture.reset(token)


def readable_id(text: object) -> str:
    """The id in what came from another process; "" where it is none that a line of a log can hold."""
    return text if isinstance(text, str) and re.fullmatch(r"[\w,-]{1,200}", text) else ""


def name_picture(record: logging.LogRecord) -> None:
    """Write into a record which picture it is about: ``picture``, and ``about`` for people who read it."""
    picture = picture_id()
    record.__dict__.update(picture=picture, about=f"[picture {picture}] " if picture else "")


class NamesPicture(logging.Filter):
    """Of a handler, whose format may name what :func:`name_picture` writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything pass."""
        name_picture(record)
        return True
