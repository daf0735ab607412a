"""Tensors and folders that are whole or not there, whatever interrupts the writing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from inference.checkpoints.format import CheckpointError
from inference.common.errors import UserError
from train_scripts.states import write_state

__all__ = ["load_tensors", "new_folder", "save_tensors"]


def save_tensors(path: Path, values: dict[str, Any]) -> None:
    """Replaces the file by tensors and plain values.

    Raises UserError when it cannot be written; the former file is then as it was.
    """
    try:
        write_state(path, values)
    except OSError as error:
        kept = "the one before it is whole" if path.exists() else "there was none before it"
        raise UserError(
            f"The state of the run cannot be written to {path} ({error.strerror}; {kept}): make room there "
            "and go on with --resume."
        ) from error


def load_tensors(path: Path) -> dict[str, Any]:
    """What :func:`save_tensors` wrote. Raises UserError when it is damaged."""
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage makes it stumble over
        raise UserError(
            f"{path} is damaged: delete the folder {path.parent} and train again without --resume."
        ) from error
    return found


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``folder`` when all went well.

    Raises UserError when it cannot be written; the former folder is then as it was.
    """
    part = folder.with_name(f".{folder.name}.part")
    old = folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.replace(old)
        part.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, CheckpointError) as error:
        shutil.rmtree(part, ignore_errors=True)
        cause = error.__cause__ or error  # a CheckpointError says what to do too, which is said here
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause).rstrip(".")
        raise UserError(
            f"{folder} cannot be written ({why}): make room there and go on with --resume."
        ) from error
