"""States of runs: tensors and plain values, in files that are whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from train_scripts.files import replacing

__all__ = ["write_state"]


def write_state(path: Path, values: Mapping[str, Any]) -> None:
    """Replaces the file. Raises OSError, whose ``strerror`` says why; the former file is then as it was."""
    try:
        with replacing(path) as part, part.open("wb") as file:
            torch.save(dict(values), file)
    except RuntimeError as error:
        # torch wraps what the file says into an error of its own.
        cause = error.__cause__ or error.__context__ or error
        if isinstance(cause, OSError):
            raise cause from error
        raise OSError(None, str(cause).splitlines()[0]) from error
