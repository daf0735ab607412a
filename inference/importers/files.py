"""Weight files of others, opened without running anything that is written in them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

State = dict[str, Tensor]


class ImportFailed(ValueError):  # noqa: N818 - a result, said the way the callers say it
    """The file is not what was asked for: ``str()`` says what differs and what to do, in one sentence."""


def read_state(path: Path) -> State:
    """The tensors of a .pt, .pth, .dth, .bin, .ckpt or .safetensors file, float32 where they are floats.

    A file that keeps them under ``state_dict`` or ``model`` is unwrapped, and so is the ``module.`` that
    data-parallel training writes before every name.

    Raises FileNotFoundError, or :class:`ImportFailed` when it is damaged or would have to be run to be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The weights {path} are missing: check the path, or fetch them.")
    try:
        found: Any = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except pickle.UnpicklingError as error:
        raise ImportFailed(
            f"{path} holds pickled code, which would run when it is opened, so it is refused: ask its author "
            "for the state_dict alone, or save that from a machine that may run it."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise ImportFailed(f"{path} is damaged or no weight file: fetch it again.") from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ImportFailed(f"{path} holds no table of named tensors (a state_dict): it cannot be imported.")
    state = {str(key): value.float() if value.is_floating_point() else value for key, value in found.items()}
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        # torch doubts newer pickle protocols; what it cannot read it refuses all the same.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def take(state: State, key: str, what: str) -> Tensor:
    """One tensor by name. Raises :class:`ImportFailed` when it is missing: the file is no ``what``."""
    if key not in state:
        raise ImportFailed(
            f"This is no {what}: it has no tensor {key!r}. Choose the importer that fits the file."
        )
    return state[key]


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
        raise ImportFailed(f"The file does not fit the {what}: {some}{' ...' if len(wrong) > 3 else ''}.")
    module.load_state_dict(state)
