"""One self-describing format: a folder with config.json, model.safetensors, the tokenizer and a model card.

``config.json`` says what a person wants to read: the architecture and everything needed to build it. Tables
of words lie beside the tokenizer, and how the model came to be is in ``training.json``. The weights are
loaded strictly, and no pickle is ever unpickled. ``manifest.json`` keeps the sha256 of the weights and of the
tables, which ``verify`` compares. Half-precision and 8-bit files are widened to float32 on loading.

Nothing here needs PyTorch; :mod:`.modules` fills and saves its modules.

In format 1 one config.json held all of it; such folders are still read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inference.checkpoints import manifest
from inference.checkpoints.config import FORMAT, CheckpointConfig, TrainingRecord
from inference.checkpoints.folder import CONFIG_FILE, SCALES, WEIGHTS_FILE
from inference.checkpoints.mapped import widened
from inference.common.errors import UserError
from inference.common.json_text import readable
from inference.common.types import EngineError

TOKENIZER_FILE = "tokenizer.json"
TRAINING_FILE = "training.json"

_READ = (1, FORMAT)


class CheckpointError(EngineError):
    """The checkpoint cannot be used; ``str()`` is one sentence that says what differs and what to do."""

    @classmethod
    def not_whole(cls, name: str, error: Exception) -> Self:
        """The files of the named checkpoint gave this error when a model was made of them."""
        return cls(
            f"The files of {name} are damaged or do not fit together ({type(error).__name__}: {error}): get "
            "the checkpoint anew, whole."
        )

    @classmethod
    def other_architecture(cls, weights: Path, missing: Sequence[str], unknown: Sequence[str]) -> Self:
        """The file lacks tensors that config.json asks for, or has some that it does not; both by name."""
        parts = [f"lacks {_some(missing)}"] if missing else []
        parts += [f"has {_some(unknown)} besides"] if unknown else []
        return cls(
            f"{weights} is of another architecture than its {CONFIG_FILE} says (it {' and '.join(parts)}): "
            "put the two files of one checkpoint together."
        )


def _some(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def read_config(folder: Path) -> CheckpointConfig:
    """What the checkpoint's config.json says.

    Raises:
        CheckpointError: it is missing, damaged, or of a format this version does not read.
    """
    try:
        return CheckpointConfig.from_dict(_config(folder))
    except KeyError as error:
        raise CheckpointError(
            f"The checkpoint {folder.name} cannot be built: its {CONFIG_FILE} says nothing of {error}, so "
            "get it anew."
        ) from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint {folder.name} cannot be built: {error}") from error


def read_training(folder: Path) -> TrainingRecord:
    """How the model came to be. Raises CheckpointError when that is missing or damaged."""
    try:
        return TrainingRecord.from_dict(read_table(folder, TRAINING_FILE))
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / TRAINING_FILE} is damaged: get the checkpoint anew.") from error


def read_table(folder: Path, name: str) -> dict[str, Any]:
    """One of the JSON files beside config.json; of format 1 that file, which held them all.

    Raises CheckpointError when it is missing or damaged.
    """
    config = _config(folder)
    return config if config["format"] == 1 else _json(folder / name)


def _config(folder: Path) -> dict[str, Any]:
    config = _json(folder / CONFIG_FILE)
    if "format" not in config:
        raise CheckpointError(f"{folder / CONFIG_FILE} is damaged: get the checkpoint anew.")
    if (written := config["format"]) not in _READ:
        raise CheckpointError(
            f"{folder.name} is written in format {written}, this version reads format {FORMAT}: "
            "use a matching version of the program or export the checkpoint again."
        )
    return config


def _json(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: get the checkpoint anew, whole.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: get the checkpoint anew.") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"{path} is damaged: get the checkpoint anew.")
    return stored


class MissingWeightError(KeyError):
    """A tensor that the file does not have; its argument is the whole name."""


class Weights(Mapping[str, npt.NDArray[Any]]):
    """Tensors by name, which know who was asked for: what nobody took is of another architecture."""

    def __init__(
        self, tensors: Mapping[str, npt.NDArray[Any]], prefix: str = "", taken: set[str] | None = None
    ) -> None:
        self._tensors, self._prefix = tensors, prefix
        self._taken: set[str] = set() if taken is None else taken

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        whole = self._prefix + name
        try:
            tensor = self._tensors[whole]
        except KeyError:
            raise MissingWeightError(whole) from None
        self._taken.add(whole)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def under(self, prefix: str) -> Weights:
        """Those whose names begin so, by the rest of their names."""
        return Weights(self._tensors, self._prefix + prefix, self._taken)

    def untaken(self) -> list[str]:
        """Names that nobody asked for, but for BatchNorm's counters, which only training reads."""
        rest = self._tensors.keys() - self._taken
        return sorted(name for name in rest if not name.endswith(".num_batches_tracked"))


def read_weights(folder: Path) -> Weights:
    """The tensors of the folder's model.safetensors; floats and what was rounded to 8 bits as float32.

    Raises CheckpointError when the file is missing or damaged.
    """
    with reading(folder / WEIGHTS_FILE) as path:
        stored = load_file(path)
    for name in [name for name in stored if name.endswith(SCALES)]:
        whole, scale = name.removesuffix(SCALES), stored.pop(name)
        if whole in stored:
            stored[whole] = widened(stored[whole], scale)
    return Weights(
        {
            name: value.astype(np.float32, copy=False) if value.dtype.kind == "f" else value
            for name, value in stored.items()
        }
    )


@contextmanager
def making(name: str) -> Iterator[None]:
    """Whoever makes a model of the named checkpoint's files, or tries it, gets a CheckpointError where they
    are damaged or do not fit together."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise CheckpointError.not_whole(name, error) from error


@contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Whoever reads a file of weights gets a CheckpointError where it is missing or damaged."""
    try:
        yield path
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: get the checkpoint anew, whole.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file: get the checkpoint anew."
        ) from error


def save_beside(
    folder: Path, config: CheckpointConfig, training: TrainingRecord, tables: Mapping[str, str]
) -> None:
    """What :func:`.modules.save_checkpoint` writes, to a folder whose weights stay as they are.

    Raises CheckpointError when a file cannot be written, ManifestError when the manifest is damaged.
    """
    recorded = manifest.read_manifest(folder)
    texts = texts_of(config, training, tables)
    with replacing(folder, (*texts, manifest.FILE)) as parts:
        write_texts(parts, texts)
        recorded |= {name: manifest.entry_of(parts[name]) for name in tables}
        parts[manifest.FILE].write_text(manifest.render(recorded), encoding="utf-8")


def texts_of(config: CheckpointConfig, training: TrainingRecord, tables: Mapping[str, str]) -> dict[str, str]:
    """Text by file name. config.json comes last: it says in which format the others are to be read."""
    return {
        **tables,
        TRAINING_FILE: readable(training.to_dict()),
        CONFIG_FILE: readable(config.to_dict()),
    }


def write_texts(parts: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        parts[name].write_text(text, encoding="utf-8")


@contextmanager
def replacing(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Where to write the files of these names, which then take their places in this order; or none does.

    Raises CheckpointError when one cannot be written.
    """
    parts = {name: folder / f"{name}.part" for name in names}
    try:
        yield parts
    except (SafetensorError, OSError) as error:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise CheckpointError(
            f"The checkpoint cannot be written to {folder} ({error}): make room there and save it again."
        ) from error
    for name, part in parts.items():
        part.replace(folder / name)
