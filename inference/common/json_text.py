"""JSON for a person's eyes: a table opens line by line, a row of numbers stays one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WIDTH = 130  # characters of a line: a row of a history of training is one


def readable(value: Any) -> str:
    """The JSON text of a value, with a final line break. What fits a line is one, and so is a list of plain
    values, however long.
    """
    return _told(value, "") + "\n"


def _told(value: Any, before: str) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return line
    inner = before + " "
    if isinstance(value, Mapping):
        # The outermost table always opens: its keys are looked for at the beginnings of lines.
        if before and len(before) + len(line) <= WIDTH:
            return line
        named = ((json.dumps(str(key), ensure_ascii=False), own) for key, own in value.items())
        rows = [f"{inner}{key}: {_told(own, inner)}" for key, own in named]
        return _opened("{", rows, "}", before)
    if len(before) + len(line) <= WIDTH or not any(isinstance(own, (Mapping, list, tuple)) for own in value):
        return line
    return _opened("[", [f"{inner}{_told(own, inner)}" for own in value], "]", before)


def _opened(start: str, rows: list[str], end: str, before: str) -> str:
    inside = ",\n".join(rows)
    return f"{start}\n{inside}\n{before}{end}"
