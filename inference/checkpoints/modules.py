"""PyTorch modules from checkpoints and into them; see :mod:`.format`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.checkpoints import manifest
from inference.checkpoints.config import CheckpointConfig, TrainingRecord
from inference.checkpoints.folder import CONFIG_FILE, SCALES, WEIGHTS_FILE
from inference.checkpoints.format import CheckpointError, reading, replacing, texts_of, write_texts
from inference.checkpoints.tensor_files import as_the_umask_says


def load_weights(module: nn.Module, folder: Path) -> None:
    """Fills ``module`` from the folder's model.safetensors, every tensor or none.

    Raises:
        CheckpointError: the file is missing or damaged, or its names or shapes are not the module's.
    """
    with reading(folder / WEIGHTS_FILE) as path:
        stored = load_file(path)
    for name in [name for name in stored if name.endswith(SCALES)]:
        whole = name.removesuffix(SCALES)
        scale = stored.pop(name).float()
        if whole in stored:
            stored[whole] = stored[whole].float() * scale.view(-1, *[1] * (stored[whole].dim() - 1))
    expected = module.state_dict()
    missing, unknown = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    if missing or unknown:
        raise CheckpointError.other_architecture(path, missing, unknown)
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
    texts = texts_of(config, training or TrainingRecord(), tables or {})
    with replacing(folder, (WEIGHTS_FILE, *texts, manifest.FILE)) as parts:
        write_tensors(parts[WEIGHTS_FILE], tensors, {"format": "pt"})
        write_texts(parts, texts)
        recorded = {name: manifest.entry_of(parts[name]) for name in (WEIGHTS_FILE, *(tables or {}))}
        parts[manifest.FILE].write_text(manifest.render(recorded), encoding="utf-8")


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
    """A safetensors file of PyTorch's tensors.

    Raises SafetensorError or OSError when it cannot be written; it may then be there, and is not whole.
    """
    with as_the_umask_says(path):
        save_file(dict(tensors), path, metadata=dict(metadata))
