"""YAML that people write by hand: what is wrong with it is one sentence, which names the file and the key."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from inference.common.errors import UserError
from inference.common.registry import hint

Layer = tuple[str, Mapping[str, Any]]  # where values stand, as a person calls it, and the values


def read_yaml(path: Path, what: str, instead: Sequence[str]) -> dict[str, Any]:
    """The keys and values of a file.

    ``what``: what it is called in messages. ``instead``: the names that could be given in its place.

    Raises UserError when it cannot be read, is no YAML, or holds no keys.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UserError(
            f"The {what} {path} cannot be read ({why}): give a YAML file, or one of {', '.join(instead)}."
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise UserError(f"{path}{line}, is not valid YAML ({problem}): mend the line.") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is no {what}: it must hold keys and values.")
    return values


def complaint(error: ValidationError, kind: type[BaseModel], layers: Sequence[Layer], advice: str) -> str:
    """The first of pydantic's errors, in words.

    ``kind``: what the values should have become. ``layers``: where they came from, the last one outweighs
    those before it. ``advice``: what helps where a key is missing.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    where = next((name for name, values in reversed(layers) if _has(values, place)), layers[-1][0])
    if first["type"] == "extra_forbidden":
        return f"{where} has the unknown key {key!r}: {hint(place[-1], _keys(kind, place[:-1]))}"
    if first["type"] == "missing":
        return f"{layers[-1][0]} lacks the key {key!r}: {advice}."
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    end = "" if message.endswith("?") else "."
    value = f" (it is {first['input']!r})" if not isinstance(first["input"], Mapping | BaseModel) else ""
    return f"{where}: {key}{value} is not right: {message}{end}" if key else f"{where}: {message}{end}"


def _has(values: Any, place: Sequence[str]) -> bool:
    for part in place:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _keys(kind: type[BaseModel], place: Sequence[str]) -> list[str]:
    """The keys that are valid at a place of such values."""
    model: type[BaseModel] | None = kind
    for part in place:
        if model is None or part not in model.model_fields:
            continue  # the name of one of many: its settings are those of the field before
        model = _model_of(model.model_fields[part].annotation)
    return list(model.model_fields) if model is not None else []


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := _model_of(part))), None)
