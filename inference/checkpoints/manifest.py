"""What a folder of weights should hold: size and sha256 of each file, as it was made or fetched.

Imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference.common.errors import UserError

FILE = "manifest.json"
Entry = dict[str, Any]  # sha256 (64 hexadecimal digits), size (bytes), and where the file came from


_reading = threading.Lock()


class ManifestError(UserError, ValueError):
    """The manifest is damaged; ``str()`` is one sentence that says what to do."""


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_again(path: Path) -> str:
    """As :func:`sha256_of`, but a file that is still the same one and unchanged is not read again.

    Its size and time alone do not tell: weights of one architecture have one size, and archives and copies
    bring the times with them.
    """
    status = path.stat()
    with _reading:  # who comes second finds it made
        return _known(path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=64)
def _known(path: Path, *_: int) -> str:  # they make the cache's key
    return sha256_of(path)


def sha256_of_folder(folder: Path, suffixes: Collection[str] = ()) -> str:
    """64 hexadecimal digits of the names and contents of all files below, or of those with these suffixes:
    the same wherever the folder lies. Raises OSError.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not suffixes or path.suffix in suffixes:
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def entry_of(path: Path, **about: Any) -> Entry:
    """What is to be recorded of a file; ``about`` is written beside its hash. Raises OSError."""
    return {"sha256": sha256_of(path), "size": path.stat().st_size, **about}


def read_manifest(folder: Path) -> dict[str, Entry]:
    """The entries by file name; {} where nothing was recorded. Raises ManifestError when it is damaged."""
    path = folder / FILE
    try:
        files: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))["files"]
        if all(isinstance(entry["sha256"], str) for entry in files.values()):
            return files
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ManifestError(f"{path} is damaged: delete it, and verify by the hash that the files' source names.")


def render(entries: Mapping[str, Entry]) -> str:
    """The manifest's text."""
    return json.dumps({"files": dict(sorted(entries.items()))}, ensure_ascii=False, indent=1) + "\n"


def record(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Adds or replaces entries; the manifest is whole at every moment. Raises OSError."""
    try:
        known = read_manifest(folder)
    except ManifestError:
        known = {}
    part = folder / f"{FILE}.part"
    part.write_text(render({**known, **entries}), encoding="utf-8")
    part.replace(folder / FILE)


def mismatch(folder: Path) -> str:
    """What differs from the manifest, in one sentence; "" when every recorded file is as it was.

    Raises ManifestError, or OSError when a file cannot be read.
    """
    for name, entry in read_manifest(folder).items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing, but {FILE} lists it: get the files anew, whole."
        if (found := sha256_of(path)) != entry["sha256"]:
            return (
                f"{path} has the sha256 {found[:12]}…, {FILE} recorded {entry['sha256'][:12]}…: the file was "
                "changed or damaged, so get it anew."
            )
    return ""
