"""Names of files: what rows and people read, and the file that a name in a table means.

A row calls a file as its path is written. A name that is not UTF-8 (of an old archive, in cp866 or cp1251)
has each byte that is none as ``%XX`` and each percent sign as ``%25``, as in an address; so it is the same in
every run, and :func:`find` finds the file by it.

Tables are written on other systems: a Mac takes "й" apart into two characters, Windows parts folders by
backslashes and takes A.PNG for a.png, and addresses have ``%20`` for a space. :func:`find` knows that.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from inference.common.errors import UserError

__all__ = [
    "ESCAPED",
    "AmbiguousNameError",
    "find",
    "forgive",
    "is_plain",
    "name_of",
    "picture_of",
    "renamed",
    "shown",
]

T = TypeVar("T")
ESCAPED = "escaped-names"
"""How what is written in UTF-8 treats names that are not: for ``open``'s and ``encode``'s ``errors``."""

_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # and back: they mix lines up


class AmbiguousNameError(UserError):
    """Several files may be meant; ``str()`` is one sentence that names them."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(map(_escape, characters)), error.end


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that Python could not decode
        return f"%{number - 0xDC00:02X}"
    return character.encode("ascii", "backslashreplace").decode()


codecs.register_error(ESCAPED, _escaped)


def is_plain(name: str) -> bool:
    """Whether a file or folder may be called so: it is no way into another folder."""
    return name not in {"", ".", ".."} and PurePath(name).name == name


def name_of(path: str | PurePath) -> str:
    """What a file is called in rows: its path with ``/``; bytes that are not UTF-8 as ``%XX``."""
    name = path.as_posix() if isinstance(path, PurePath) else path
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.replace("%", "%25").encode("utf-8", ESCAPED).decode()
    return name


def shown(text: str) -> str:
    """For a terminal and for sentences: without what would break the line, colour it or mix it up."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in {"Cc", "Zl", "Zp"} or character in _TURNS
        else character
        for character in text
    )


def forgive() -> None:
    """What a command prints is never refused: names that are not UTF-8 stand there as rows have them, and
    what a terminal of another encoding lacks as an escape. Called once at the beginning of each command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def find(folder: Path, name: str) -> Path | None:
    """The file in the folder or below it that ``name`` means; None: there is none, or the name leaves the
    folder.

    A file that is called so exactly is meant; else the one that is called so but for how letters are
    composed, their case, the kind of slashes, and bytes written as ``%XX``. Raises AmbiguousNameError.
    """
    parts = _parts(name)
    if parts is None:
        return None
    try:
        if not name.startswith("/") and (folder / name).is_file():
            return folder / name
        places = [folder]
        for part in parts:
            places = [place / entry for place in places for entry in _called(place, part)]
        files = [place for place in places if place.is_file()]
    except OSError:  # a name longer than the system allows
        return None
    if len(files) > 1:
        names = ", ".join(shown(name_of(one)) for one in sorted(files))
        raise AmbiguousNameError(f"{shown(name)} may be any of {names}: name the one that is meant exactly.")
    return files[0] if files else None


def picture_of(folder: Path, name: str) -> Path:
    """As :func:`find`; where there is none, the path that is missing."""
    return find(folder, name) or folder / name


def renamed(values: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    """The values under those of the ``names`` that mean the same pictures, see :func:`find`; others stay.

    Raises AmbiguousNameError where two of either side may be the same.
    """
    wanted = [name for name in names if name not in values]
    if not wanted:
        return dict(values)
    known = frozenset(names)
    like: dict[str, list[str]] = {}
    for name in wanted:
        like.setdefault(_key(name), []).append(name)
    result: dict[str, T] = {}
    for name, value in values.items():
        found = [] if name in known else like.get(_key(name), [])
        if len(found) > 1 or (found and found[0] in result):
            both = ", ".join(map(shown, found)) if len(found) > 1 else "the name of another row as well"
            raise AmbiguousNameError(f"{shown(name)} may be {both}: name the one that is meant exactly.")
        result[found[0] if found else name] = value
    return result


def _parts(name: str) -> list[str] | None:
    """The folders and the file of a name; None where it leads out of its folder."""
    if "\0" in name or name.startswith(("/", "\\")):
        return None
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", "."}]
    leaves = ".." in parts or any("/" in (plain := _plain(part)) or "\0" in plain for part in parts)
    return None if leaves or not parts or any(_plain(part) == ".." for part in parts) else parts


def _plain(part: str) -> str:
    """Without ``%XX``."""
    return os.fsdecode(unquote_to_bytes(part.encode("utf-8", "surrogateescape"))) if "%" in part else part


def _key(name: str) -> str:
    """The same for names that mean the same file."""
    parts = [_plain(part) for part in name.replace("\\", "/").split("/") if part not in {"", "."}]
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", "/".join(parts)).casefold())


def _called(folder: Path, part: str) -> tuple[str, ...]:
    """The entries of a folder that a part of a name may mean."""
    if (folder / part).exists():
        return (part,)
    try:
        entries = _entries(folder, folder.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    return entries.get(_key(part), ())


@lru_cache(
    maxsize=64
)  # tables ask for thousands of names in one folder; another time of change: looked at anew
def _entries(folder: Path, changed: int) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG001
    found: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):  # noqa: PTH208 - names, not paths
        key = _key(name)
        found[key] = (*found.get(key, ()), name)
    return found
