"""One self-describing format: a folder with config.json, model.safetensors, the tokenizer and a model card.

``config.json`` says what a person wants to read: the architecture and everything needed to build it. Tables
of words lie beside the tokenizer, and how the model came to be is in ``training.json``. The weights are
loaded strictly, and no pickle is ever unpickled. ``manifest.json`` keeps the sha256 of the weights and of the
tables, which ``verify`` compares. Half-precision and 8-bit files are widened to float32 on loading.

In format 1 one config.json held all of it; such folders are still read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.checkpoints import manifest
from inference.checkpoints.config import FORMAT, CheckpointConfig, TrainingRecord
from inference.checkpoints.folder import CONFIG_FILE, SCALES, WEIGHTS_FILE
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


def load_weights(module: nn.Module, folder: Path) -> None:
    """Fills ``module`` from the folder's model.safetensors, every tensor or none.

    Raises:
        CheckpointError: the file is missing or damaged, or its names or shapes are not the module's.
    """
    path = folder / WEIGHTS_FILE
    try:
        stored = load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: get the checkpoint anew, whole.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file: get the checkpoint anew."
        ) from error
    for name in [name for name in stored if name.endswith(SCALES)]:
        whole = name.removesuffix(SCALES)
        scale = stored.pop(name).float()
        if whole in stored:
            stored[whole] = stored[whole].float() * scale.view(-1, *[1] * (stored[whole].dim() - 1))
    expected = module.state_dict()
    missing, unknown = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    if missing or unknown:
        parts = [f"lacks {missing[0]}" + _more(missing)] if missing else []
        parts += [f"has {unknown[0]}" + _more(unknown) + " besides"] if unknown else []
        raise CheckpointError(
            f"{path} is of another architecture than its {CONFIG_FILE} says (it {' and '.join(parts)}): "
            "put the two files of one checkpoint together."
        )
    for name, tensor in expected.items():
        if stored[name].shape != tensor.shape:
            raise CheckpointError(
                f"{name} has the shape {tuple(stored[name].shape)} in {path}, "
                f"but {CONFIG_FILE} asks for {tuple(tensor.shape)}: take both files from one checkpoint."
            )
    module.load_state_dict({name: stored[name].to(expected[name].dtype) for name in expected})


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    config: CheckpointConfig,
    training: TrainingRecord | None = None,
    *,
    tables: Mapping[str, str] | None = None,
    half: bool = True,
    int8: tuple[str, ...] = (),
) -> None:
    """Writes config.json, training.json, model.safetensors, the ``tables`` (text by file name: what the
    weights are of no use without) and the manifest; ``half`` stores the floats as float16, half the size.

    Matrices and convolutions whose names begin with one of ``int8`` are rounded to 8 bits with one factor a
    row (output channel), a quarter of the size.

    The files are written beside their places and moved there when all are whole: a full disk leaves the
    former checkpoint as it was.

    Raises:
        CheckpointError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = _stored(module, half=half, int8=int8)
    texts = _texts(config, training or TrainingRecord(), tables or {})
    with _replacing(folder, (WEIGHTS_FILE, *texts, manifest.FILE)) as parts:
        write_tensors(parts[WEIGHTS_FILE], tensors, {"format": "pt"})
        _write_texts(parts, texts)
        recorded = {name: manifest.entry_of(parts[name]) for name in (WEIGHTS_FILE, *(tables or {}))}
        parts[manifest.FILE].write_text(manifest.render(recorded), encoding="utf-8")


def save_beside(
    folder: Path, config: CheckpointConfig, training: TrainingRecord, tables: Mapping[str, str]
) -> None:
    """:func:`save_checkpoint` to a folder whose weights stay as they are.

    Raises CheckpointError when a file cannot be written, ManifestError when the manifest is damaged.
    """
    recorded = manifest.read_manifest(folder)
    texts = _texts(config, training, tables)
    with _replacing(folder, (*texts, manifest.FILE)) as parts:
        _write_texts(parts, texts)
        recorded |= {name: manifest.entry_of(parts[name]) for name in tables}
        parts[manifest.FILE].write_text(manifest.render(recorded), encoding="utf-8")


def _texts(config: CheckpointConfig, training: TrainingRecord, tables: Mapping[str, str]) -> dict[str, str]:
    """Text by file name. config.json comes last: it says in which format the others are to be read."""
    return {
        **tables,
        TRAINING_FILE: readable(training.to_dict()),
        CONFIG_FILE: readable(config.to_dict()),
    }


def _write_texts(parts: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        parts[name].write_text(text, encoding="utf-8")


@contextmanager
def _replacing(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
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


def _stored(module: nn.Module, *, half: bool, int8: tuple[str, ...]) -> dict[str, Tensor]:
    """The module's tensors as the file holds them, see :func:`save_checkpoint`."""
    tensors: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        tensor = value.detach().cpu()
        if tensor.is_floating_point() and tensor.dim() > 1 and int8 and name.startswith(int8):
            scale = (tensor.flatten(1).abs().amax(1) / 127).clamp(min=1e-7)
            tensors[name + SCALES] = scale
            whole = (tensor / scale.view(-1, *[1] * (tensor.dim() - 1))).round()
            tensors[name] = whole.to(torch.int8).contiguous()
        else:
            to_halve = half and tensor.dtype == torch.float32
            tensors[name] = (tensor.half() if to_halve else tensor).contiguous()
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file with the permissions of any other: the library gives it to its owner alone.

    Raises SafetensorError or OSError when it cannot be written; it may then be there, and is not whole.
    """
    path.unlink(missing_ok=True)
    path.touch()  # as the umask says
    mode = path.stat().st_mode
    save_file(dict(tensors), path, metadata=dict(metadata))
    path.chmod(mode)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
