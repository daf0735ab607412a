"""Which program describes: what is said of a picture depends on it as much as on the weights."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from inference.manifest import sha256_of

_FILES = {".py", ".json", ".safetensors"}  # code, and the data it comes with


@cache
def program() -> str:
    """The digest of this package as it was when it was first asked for.

    So every update has another one, without anybody to remember a number. It changes more often than
    descriptions do: then a picture is described once more, while the other way would keep its old text.
    """
    return digest_of(Path(__file__).parent)


def digest_of(package: Path) -> str:
    """16 hexadecimal digits, of the names and contents of its files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.suffix in _FILES):
        digest.update(f"{path.relative_to(package).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:16]
