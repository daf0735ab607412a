"""aiogram, imported without what it would build of all types of the Bot API at once.

It has pydantic make the validators of 440 types, each with all those within it: most of the time of a start,
and 100 MB, where a bot meets some dozens. pydantic makes each when it is first used, if only it finds the
names in the types' annotations, which aiogram's modules import for type checkers alone.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

__all__ = ["import_aiogram"]

_NAME = re.compile(r"\w+")


def import_aiogram() -> None:
    """To be called before anything else imports aiogram; where it has been imported, nothing is gained.

    What every bot needs is built now: that takes a tenth of a second, for which nobody's message shall wait.
    """
    with _nothing_rebuilt():
        from aiogram import methods, types  # noqa: PLC0415
    every = {name: getattr(types, name) for name in types.__all__}
    named = {
        kind: every.keys() & _NAME.findall(" ".join(map(str, inspect.get_annotations(kind).values())))
        for kind in every.values()
        if inspect.isclass(kind)
    }
    for kind in named:
        known = vars(sys.modules[kind.__module__])
        for base in kind.__mro__:  # what is inherited is looked up there, too
            for name in named.get(base, ()):
                known.setdefault(name, every[name])
    # A message is a part of an update: one that was built is not built again.
    for kind in (types.Message, types.Update, methods.SendMessage):
        kind.model_rebuild()


@contextmanager
def _nothing_rebuilt() -> Iterator[None]:
    """aiogram's package calls this method of each of its types."""
    rebuild = vars(BaseModel)["model_rebuild"]
    BaseModel.model_rebuild = classmethod(lambda _, **__: None)  # type: ignore[method-assign,assignment]  # taken back below
    try:
        yield
    finally:
        BaseModel.model_rebuild = rebuild  # type: ignore[method-assign]  # as it was
