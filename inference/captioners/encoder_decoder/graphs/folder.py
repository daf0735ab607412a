"""Where a checkpoint's graphs lie, and of which weights they were written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from inference.checkpoints.folder import WEIGHTS_FILE, weights_hash
from inference.checkpoints.format import CheckpointError
from inference.checkpoints.manifest import sha256_again, sha256_of
from inference.common.json_text import readable
from inference.common.locks import Locked, locked
from inference.graphs.session import GraphError

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
    files: Mapping[str, str] = field(default_factory=dict)  # sha256 of those beside it, by their names


def find(folder: Path) -> Path | None:
    """The folder of the checkpoint's graphs; None where there are none.

    Raises GraphError where they are of other weights, or a file of theirs is damaged.
    """
    graphs = folder / FOLDER
    if not (graphs / RECORD_FILE).is_file():
        return None
    try:
        written = read_record(graphs)
        files = dict(written.files)
    except (OSError, ValueError, TypeError) as error:
        raise GraphError(
            f"{graphs / RECORD_FILE} is damaged: get it anew, or export the graphs again."
        ) from error
    if written.weights != weights_hash(folder / WEIGHTS_FILE):
        raise GraphError(f"{graphs} are of other weights: export them anew.")
    for name, digest in files.items():
        if not _is_whole(graphs / name, digest):
            raise GraphError(f"{graphs / name} is damaged: get it anew, or export the graphs again.")
    return graphs


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return sha256_again(path) == digest
    except OSError:
        return False


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder whose files then take the place of the checkpoint's graphs; of an error, or of a
    process that ends before, nothing stays but that folder, which the next call clears. Where one ended
    between the two names, the next call first gives the graphs that there were their place again.

    Raises CheckpointError when the files cannot be written, or another process is writing some.
    """
    try:
        with locked(folder), _exchanged(folder) as part:
            yield part
    except Locked as error:
        raise CheckpointError(
            f"Graphs are being written to {folder} by another process: wait until it has ended."
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The graphs cannot be written to {folder} ({error}): make room there, or check its permissions."
        ) from error


@contextmanager
def _exchanged(folder: Path) -> Iterator[Path]:
    part, old, place = folder / f"{FOLDER}.part", folder / f"{FOLDER}.old", folder / FOLDER
    _put_back(old, place)
    try:
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
    """Writes graphs.json, behind all other files."""
    written = replace(written, files={path.name: sha256_of(path) for path in sorted(graphs.iterdir())})
    (graphs / RECORD_FILE).write_text(readable(asdict(written)), encoding="utf-8")
