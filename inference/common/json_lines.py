"""What a line of JSON from outside says."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["from_json", "json_object"]

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON writes half of a character beyond the first 65,536


def from_json(text: str) -> Any:
    """What the text says. A half of a character whose other half is missing, as where a program cut a text
    within an emoji, becomes a question mark: no file in UTF-8 can hold it. Raises ValueError.
    """
    try:
        value = json.loads(text)
        if _HALF.search(text):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return value


def json_object(line: bytes) -> dict[str, Any] | None:
    """The object that a line of JSON in UTF-8 holds; None where it is damaged or holds something else."""
    try:
        value = from_json(line.decode())
    except ValueError:  # a UnicodeDecodeError is one too
        return None
    return value if isinstance(value, dict) else None
