"""Files that are whole or not there, whatever interrupts the writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.common.file_names import ESCAPED

__all__ = ["replacing", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; moved to ``path`` when all went well, else removed."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces the file; names in it that are not UTF-8 are written as rows have them. Raises OSError; the
    former file is then as it was.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors=ESCAPED)
