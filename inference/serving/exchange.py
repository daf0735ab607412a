"""A request and its reply, as any HTTP server knows them, and what a reply may tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import ValidationError

from inference.common.types import PictureError
from inference.pictures.opening import MAX_BYTES
from inference.serving.engine import EngineSettings

# The folders before a file's name, wherever it lies.
_FOLDERS = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?/(?:[^\s/'\"]+/)+")


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # whose names may be asked for in any case


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # the kind of the body among them

    @classmethod
    def of(cls, status: int, told: Any, headers: Mapping[str, str] | None = None) -> Self:
        """As JSON."""
        return cls(status, dumps(told).encode(), {"Content-Type": "application/json", **(headers or {})})


def dumps(told: Any) -> str:
    """JSON in ASCII: a name that was asked for may hold halves of characters, which nothing else writes."""
    return json.dumps(told, default=float)


def first_mistake(error: ValidationError) -> tuple[str, str]:
    """Where it is in what was sent ("messages.0.role"; "": in all of it), and what it is, without a stop."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"].rstrip(".")


def too_large() -> PictureError:
    """What is said of a picture of more than MAX_BYTES, and of a request that can only hold such."""
    limit = MAX_BYTES // 1_000_000
    return PictureError("too_large", f"The file is larger than {limit} MB: make a smaller copy of it.")


def without_paths(sentence: str, settings: EngineSettings) -> str:
    """The sentence for somebody who is not on this machine: of files only their names are told.

    What the operator must know beside it stands in the log.
    """
    folders = {
        str(settings.models_dir),
        str(settings.models_dir.absolute()),
        str(settings.models_dir.resolve()),
    }
    for folder in sorted(folders, key=len, reverse=True):
        if folder not in {".", "/"}:
            name = rf"(?<![\w./-]){re.escape(folder)}"
            sentence = re.sub(rf" (?:in|to) {name}(?![\w/-])", " here", sentence)
            sentence = re.sub(rf"{name}(?:/|(?![\w-]))", "", sentence)
    return _FOLDERS.sub("", sentence)
