"""Locks between processes. Each goes with its process, whatever becomes of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Locked(Exception):  # noqa: N818 - a state
    """Somebody else has the lock."""


@contextmanager
def locked(path: Path, *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Nobody else has the lock on this folder, or on this file, which is made where it is missing.

    ``shared``: others that ask for it so may have it too. Raises Locked when somebody has it, unless it is to
    ``wait``; OSError.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(f"{path} is locked.") from error
        yield
    finally:
        os.close(descriptor)
