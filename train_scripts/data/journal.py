"""Journals: what a run has done so far, a line each, from which a run that was interrupted goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from inference.common.errors import UserError
from inference.common.file_names import ESCAPED
from train_scripts.data.files import json_object

__all__ = ["append_rows", "kept_rows"]


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds lines to a journal, and has them on disk before it returns."""
    with path.open("a", encoding="utf-8", errors=ESCAPED) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def kept_rows(path: Path, *keys: str) -> Iterator[dict[str, Any]]:
    """The rows of a journal, each with these keys. A last one that was torn by a kill or a full disk is cut
    off the file. Raises UserError for any other damage, which no run does, and OSError.
    """
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    for number, line in enumerate(data[:whole].split(b"\n"), start=1):
        if not line.strip():
            continue
        row = json_object(line)
        if row is None or not row.keys() >= set(keys):
            raise UserError(
                f"{path}, line {number}, is damaged: remove the line, what it stood for is then done again."
            )
        yield row
