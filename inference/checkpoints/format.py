"""One self-describing format: a folder with config.json, model.safetensors, the tokenizer and a model card.

``config.json`` names the architecture and everything needed to build it; the weights are loaded strictly,
and no pickle is ever unpickled. ``manifest.json`` keeps the weights' sha256, which ``verify`` compares.
Half-precision and 8-bit files are widened to float32 on loading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.checkpoints import manifest
from inference.checkpoints.folder import CONFIG_FILE, SCALES, WEIGHTS_FILE
from inference.common.types import EngineError

FORMAT = 1
TOKENIZER_FILE = "tokenizer.json"


class CheckpointError(EngineError):
    """The checkpoint cannot be used; ``str()`` is one sentence that says what differs and what to do."""


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json.

    Raises:
        CheckpointError: it is missing, damaged, or of a format this version does not read.
    """
    path = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        written = config["format"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: get the checkpoint anew, whole.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: get the checkpoint anew.") from error
    if written != FORMAT:
        raise CheckpointError(
            f"{folder.name} is written in format {written}, this version reads format {FORMAT}: "
            "use a matching version of the program or export the checkpoint again."
        )
    return config


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
    config: Mapping[str, Any],
    *,
    half: bool = True,
    int8: tuple[str, ...] = (),
) -> None:
    """Writes config.json, model.safetensors and the manifest; ``half`` stores the floats as float16, half the
    size.

    Matrices and convolutions whose names begin with one of ``int8`` are rounded to 8 bits with one factor a
    row (output channel), a quarter of the size.

    The files are written beside their places and moved there when all are whole: a full disk leaves the
    former checkpoint as it was.

    Raises:
        CheckpointError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
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
    parts = {name: folder / f"{name}.part" for name in (WEIGHTS_FILE, CONFIG_FILE, manifest.FILE)}
    try:
        write_tensors(parts[WEIGHTS_FILE], tensors, {"format": "pt"})
        parts[CONFIG_FILE].write_text(
            json.dumps({"format": FORMAT, **config}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        # A new training's tokenizer is written after this: only the weights are vouched for here.
        recorded = {WEIGHTS_FILE: manifest.entry_of(parts[WEIGHTS_FILE])}
        parts[manifest.FILE].write_text(manifest.render(recorded), encoding="utf-8")
    except (SafetensorError, OSError) as error:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise CheckpointError(
            f"The checkpoint cannot be written to {folder} ({error}): make room there and save it again."
        ) from error
    for name, part in parts.items():
        part.replace(folder / name)


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
