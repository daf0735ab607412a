"""Where a checkpoint's graphs lie, and of which weights they were written."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from inference.checkpoints.folder import WEIGHTS_FILE, weights_hash
from inference.checkpoints.format import CheckpointError
from inference.common.json_text import readable

logger = logging.getLogger(__name__)

FOLDER = "graphs"  # of a checkpoint
RECORD_FILE = "graphs.json"
INT8_FILE = "int8.safetensors"  # the weights rounded to 8 bits; there where the graphs are for them
DRAFT_FILE = "draft.safetensors"  # matrices in 8 bits; there where graphs guess ahead with them


@dataclass(frozen=True, slots=True)
class Record:
    """What graphs.json says."""

    weights: str  # sha256 of the model.safetensors that they were checked with
    decoder: str  # its kind
    difference: float  # the largest of a logit from PyTorch's, by the largest logit
    int8: bool = False
    scores: Mapping[str, Any] = field(default_factory=dict)  # of int8 beside float32, as `compare` has them


def find(folder: Path) -> Path | None:
    """The folder of the checkpoint's graphs; None where there are none, or they are of other weights."""
    graphs = folder / FOLDER
    if not (graphs / RECORD_FILE).is_file():
        return None
    try:
        written = read_record(graphs)
    except (OSError, ValueError, TypeError):
        logger.warning("%s is damaged: PyTorch runs the model; export its graphs anew.", graphs / RECORD_FILE)
        return None
    if written.weights != weights_hash(folder / WEIGHTS_FILE):
        logger.warning("%s are of other weights: PyTorch runs the model; export them anew.", graphs)
        return None
    return graphs


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder whose files then take the place of the checkpoint's graphs; of an error, or of a
    process that ends before, nothing stays but that folder, which the next call clears. Where one ended
    between the two names, the next call first gives the graphs that there were their place again.

    Raises CheckpointError when the files cannot be written.
    """
    part, old, place = folder / f"{FOLDER}.part", folder / f"{FOLDER}.old", folder / FOLDER
    try:
        _put_back(old, place)
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir()
        yield part
        if place.exists():
            place.rename(old)
        try:
            part.rename(place)
        except OSError:
            _put_back(old, place)
            raise
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The graphs cannot be written to {folder} ({error}): make room there and export them again."
        ) from error
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def _put_back(old: Path, place: Path) -> None:
    if old.exists() and not place.exists():
        old.rename(place)


def read_record(graphs: Path) -> Record:
    """What :func:`record` wrote. Raises OSError, ValueError or TypeError where it is missing or damaged."""
    return Record(**json.loads((graphs / RECORD_FILE).read_text(encoding="utf-8")))


def record(graphs: Path, written: Record) -> None:
    """Writes graphs.json."""
    (graphs / RECORD_FILE).write_text(readable(asdict(written)), encoding="utf-8")
