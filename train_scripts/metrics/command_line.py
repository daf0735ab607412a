"""What the `evaluate` and `compare` commands share: errors as one sentence, written files, names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from train_scripts.data.captions import CaptionFileError
from train_scripts.metrics.evaluator import MEASURES, EvaluationError

__all__ = [
    "console",
    "known_measure",
    "one_sentence_errors",
    "system_names",
    "write_json",
    "write_rows",
    "write_text",
]

_PIPED_WIDTH = 120  # characters; rich takes 80 where there is no terminal, which breaks the tables' lines


def console() -> Console:
    """The console that the tables go to."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=_PIPED_WIDTH)


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Ends the command with exit code 1 and one sentence on stderr for what its user can mend."""
    try:
        yield
    except (CaptionFileError, EvaluationError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


def write_text(path: Path, text: str) -> None:
    """Writes a report. Raises EvaluationError where the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written ({error.strerror}): choose another path.") from None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes one JSON document."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def known_measure(key: str) -> str:
    """The key, if it is one of the measures'. Raises EvaluationError that lists them."""
    keys = [measure.key for measure in MEASURES]
    if key not in keys:
        raise EvaluationError(f"There is no score named {key}: choose one of {', '.join(keys)}.")
    return key


def system_names(a: Path, b: Path) -> tuple[str, str]:
    """Short names to tell two files of predictions apart."""
    return (a.stem, b.stem) if a.stem != b.stem else (str(a), str(b))
