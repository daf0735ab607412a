"""The table of tensors in a weight file, whatever its format, and how parts are filled from it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from inference.checkpoints.weight_files.pickles import (
    DamagedPickle,
    Record,
    UnsafePickle,
    read_file,
    state_of,
)
from inference.checkpoints.weight_files.tensorflow import is_tensorflow, read_tensorflow
from inference.common.errors import UserError

State = dict[str, Tensor]

# Where training scripts keep the weights beside the optimiser's state, the most telling name first.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
# What data-parallel training, torch.compile and Lightning write before the names.
_INSIDE = re.compile(r"(^|(?<=\.))(module|_orig_mod)\.")
_BEFORE_ALL = ("model.", "net.", "network.")


class ImportFailed(UserError, ValueError):  # noqa: N818 - a result, said the way the callers say it
    """The file is not what was asked for: ``str()`` says what differs and what to do, in one sentence."""


def read_state(path: Path) -> State:
    """The tensors of a .pt, .pth, .dth, .bin, .ckpt or .safetensors file, or of TensorFlow's checkpoint (its
    .index, or a .zip of it), float32 where they are floats.

    A state dict, a training checkpoint that holds one beside its optimiser, a whole pickled module and a
    TorchScript archive are read, in torch's zip format and in its older one; the last two by
    :mod:`inference.checkpoints.weight_files.pickles`, which runs nothing. What wrappers write before the
    names (``module.``, ``_orig_mod.``, ``model.``) is taken off.

    Raises FileNotFoundError, or :class:`ImportFailed` when it is damaged or would have to be run to be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The weights {path} are missing: check the path, or fetch them.")
    try:
        found: Any = load_file(path) if path.suffix == ".safetensors" else _opened(path)
        state = _tensors(found)
    except UnsafePickle as error:
        raise ImportFailed(
            f"{path} is refused, because it {error}: pickled code would run when it is opened, so ask its "
            "author for the state_dict alone."
        ) from error
    except (DamagedPickle, SafetensorError, EOFError, OSError) as error:
        raise ImportFailed(f"{path} is damaged or no weight file: fetch it again.") from error
    if not state and len(several := _tables(found)) > 1:
        raise ImportFailed(
            f"{path} holds several tables of tensors ({', '.join(several)}): save the one that is meant in a "
            "file of its own."
        )
    if not state:
        raise ImportFailed(f"{path} holds no table of named tensors (a state_dict): it cannot be imported.")
    state = {_INSIDE.sub("", key): value for key, value in state.items()}
    while prefix := next((p for p in _BEFORE_ALL if all(key.startswith(p) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _opened(path: Path) -> Any:
    if is_tensorflow(path):
        return read_tensorflow(path)
    try:
        with warnings.catch_warnings():
            # torch doubts newer pickle protocols; what it cannot read it refuses all the same.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of nearly every kind, for a damaged file too: the other reader tells them apart
        return read_file(path)


def _tensors(found: Any) -> State:
    """The table of tensors in what a file holds; {} where there is none, or no telling which it is."""
    if isinstance(found, Record):
        return state_of(found)
    if not isinstance(found, Mapping):
        return {}
    own = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    plain = (Tensor, int, float, str, bool, type(None))
    if own and all(isinstance(value, plain) for value in found.values()):
        return own
    inner = {str(key): value for key, value in found.items() if isinstance(value, (Mapping, Record))}
    for key in _WRAPPERS:
        if key in inner and (state := _tensors(inner[key])):
            return state
    tables = list(_tables(found).values())
    return _tensors(tables[0]) if len(tables) == 1 else {}


def _tables(found: Any) -> dict[str, Any]:
    """The tables of tensors and the modules that a training checkpoint holds, by name."""
    held = found.items() if isinstance(found, Mapping) else ()
    return {str(key): value for key, value in held if _is_table(value)}


def _is_table(found: Any) -> bool:
    if isinstance(found, Record):
        return "_parameters" in found.state
    if not isinstance(found, Mapping) or not found:
        return False
    return all(isinstance(value, Tensor) for value in found.values())


def take(state: State, key: str, what: str, dimensions: int | None = None) -> Tensor:
    """One tensor by name. Raises :class:`ImportFailed` when it is missing, or has not as many ``dimensions``
    as are asked for: the file is no ``what``."""
    if key not in state:
        raise ImportFailed(f"This is no {what}: it has no tensor {key!r}, so name the file that is one.")
    found = state[key]
    if dimensions is not None and found.dim() != dimensions:
        raise ImportFailed(
            f"This is no {what}: its tensor {key!r} has the shape {tuple(found.shape)} instead of "
            f"{dimensions} dimensions, so name the file that is one."
        )
    return found


def heads_of(width: int, usual: int, told: int | None = None) -> int:
    """Attention heads of a model of ``width``, which no shape tells: ``told``, else the ``usual`` number.

    Raises :class:`ImportFailed` when so many do not divide the width.
    """
    heads = told or usual
    if width % heads:
        raise ImportFailed(
            f"The model is {width} wide, which {heads} attention heads do not divide: name its own number "
            "with --heads."
        )
    return heads


def count(state: Iterable[str], prefix: str) -> int:
    """How many numbered parts ``prefix0.``, ``prefix1.`` ... there are."""
    numbers = {key[len(prefix) :].split(".", 1)[0] for key in state if key.startswith(prefix)}
    return len([number for number in numbers if number.isdigit()])


def fill(module: nn.Module, state: State, what: str) -> None:
    """Loads strictly. Raises :class:`ImportFailed` that names the first tensors that do not fit."""
    own = module.state_dict()
    wrong = [f"{key} is missing" for key in own.keys() - state.keys()]
    wrong += [f"{key} is unknown" for key in state.keys() - own.keys()]
    wrong += [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if own[key].shape != state[key].shape
    ]
    if wrong:
        some = "; ".join(sorted(wrong)[:3])
        raise ImportFailed(
            f"The file does not fit the {what} ({some}{' ...' if len(wrong) > 3 else ''}): it is damaged or "
            "of another model, so fetch it again or name another."
        )
    module.load_state_dict(state)
