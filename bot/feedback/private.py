"""Files and folders that are nobody else's on this machine, whatever the umask: for people's words."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

_FOLDER, _FILE = 0o700, 0o600
_OTHERS = 0o077


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing; what is there stays as it is. Raises OSError."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path == path.parent:
            break
        path = path.parent
    for one in reversed(missing):
        one.mkdir(_FOLDER, exist_ok=True)


def touch(path: Path) -> None:
    """Make the file where it is missing, before somebody does who knows nothing of modes. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _FILE))


def opened(path: Path) -> IO[bytes]:
    """A file to be written anew. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE)
    os.fchmod(descriptor, _FILE)  # of one that was there
    return os.fdopen(descriptor, "wb")


def close(paths: Iterable[Path]) -> int:
    """Take away what other users of the machine may do with these files, and with folders and all in them.

    Returns how many it was of. A folder that is closed already hides what is in it, and is not looked into.
    """
    changed = refused = 0
    for path in paths:
        if not path.exists() or not path.stat().st_mode & _OTHERS:
            continue
        for one in _from_within(path):
            try:
                mode = one.stat(follow_symlinks=one == path).st_mode
                if mode & _OTHERS and (one == path or not one.is_symlink()):
                    one.chmod(mode & ~_OTHERS & 0o7777)
                    changed += 1
            except FileNotFoundError:  # gone meanwhile
                continue
            except OSError:
                refused += 1
    if refused:
        logger.warning(
            "Other users of this machine can read %d files and folders of the bot (DATA_DIR, the database): "
            "they are somebody else's, or their file system knows no permissions.",
            refused,
        )
    return changed


def _from_within(path: Path) -> Iterator[Path]:
    """What is in a folder, and last the folder itself, so that an interrupted closing begins again."""
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            yield from (Path(folder, name) for name in (*folders, *files))
    yield path
