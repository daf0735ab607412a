"""A run's folder: its state, from which it goes on, and the record of what happened.

* ``config.yaml``: the whole config;
* ``state.pt``: weights that are trained, optimizer, learning rate, place in the run. No state of a random
  generator: every random number of a run comes from a seed made of the config's seed, the stage, the epoch
  and the step (or row), so a run that goes on draws what it would have drawn;
* ``best.pt``: the weights with the best metric of the stage;
* ``steps.jsonl`` and ``epochs.jsonl``: loss, rate and norm of every step; loss, metrics and seconds of
  epochs;
* ``tensorboard/``, ``checkpoints/``, ``model/``, ``report.md``, ``report.html``, ``predictions.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.errors import UserError
from inference.common.file_names import ESCAPED
from train_scripts.files import write_text
from train_scripts.training.config import TrainConfig, load_config
from train_scripts.training.files import load_tensors

__all__ = ["CURVES", "Progress", "RunFolder", "frozen_digest", "trained_state"]

CURVES = "tensorboard"  # of a run's folder

# What may differ between a run and its continuation: nothing that changes a number.
_FREE = {"save_minutes", "save_steps", "workers", "cache"}


@dataclass(slots=True)
class Progress:
    """The place in a run: everything before it is done."""

    stage: int = 0
    epoch: int = 0  # of the stage
    step: int = 0  # of the epoch
    steps: int = 0  # of the whole run
    epochs: int = 0  # of the whole run, finished
    loss: float = 0.0  # summed over the epoch's steps
    best: float | None = None  # the metric's best value in the stage
    best_epoch: int = 0
    stale: int = 0  # validations since then
    finished: list[dict[str, Any]] = field(default_factory=list)  # one entry a stage: name, epochs, best


class RunFolder:
    """Raises UserError when the folder's run is another one, or there is none to go on with."""

    def __init__(self, path: Path, config: TrainConfig, *, resume: bool, processes: int) -> None:
        self.path = path
        self.state_file = path / "state.pt"
        self.best_file = path / "best.pt"
        self._config = path / "config.yaml"
        self._processes = processes
        if resume and not self._config.is_file():
            raise UserError(f"There is no run in {path} to go on with: start it without --resume.")
        if not resume and self._config.is_file():
            raise UserError(
                f"{path} already holds a run: go on with it by --resume, or choose another folder with --out."
            )
        if resume:
            self._same(config)

    def begin(self, config: TrainConfig) -> None:
        """Writes the config; only the main process calls it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self._config, config.to_yaml())
        except OSError as error:
            raise UserError(
                f"The run cannot be written to {self.path} ({error.strerror}): choose another folder "
                "with --out."
            ) from error

    def _same(self, config: TrainConfig) -> None:
        former = load_config(self._config).model_dump(mode="json")
        now = config.model_dump(mode="json")
        key = _first_difference(former, now, "")
        if key is not None:
            raise UserError(
                f"The run in {self.path} was started with another {key}: go on with its own config "
                f"(--config {self._config}), or start a new run with another --out."
            )

    def state(self) -> dict[str, Any] | None:
        """The state from which the run goes on; None when it was interrupted before the first one."""
        if not self.state_file.is_file():
            return None
        state = load_tensors(self.state_file)
        if state["processes"] != self._processes:
            raise UserError(
                f"The run in {self.path} was started with {state['processes']} processes, now there are "
                f"{self._processes}, which changes its batches: go on with as many as before."
            )
        return state

    def keep_until(self, steps: int, epochs: int) -> None:
        """Cuts the records to so many steps and finished epochs: what came after the state is done again."""
        for name, count in (("steps.jsonl", steps), ("epochs.jsonl", epochs)):
            path = self.path / name
            lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
            write_text(path, b"".join(lines[:count]).decode())

    def record(self, name: str, row: dict[str, Any]) -> None:
        """Adds a line to ``steps.jsonl`` or ``epochs.jsonl``. Raises UserError when the disk is full."""
        path = self.path / name
        try:
            with path.open("a", encoding="utf-8", errors=ESCAPED) as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror}): make room there and go on with --resume."
            ) from error

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of ``steps.jsonl`` or ``epochs.jsonl``."""
        path = self.path / name
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _first_difference(former: Any, now: Any, key: str) -> str | None:
    if isinstance(former, dict) and isinstance(now, dict):
        for name in sorted({*former, *now}):
            if not key and name in _FREE:
                continue
            found = _first_difference(former.get(name), now.get(name), f"{key}.{name}" if key else name)
            if found is not None:
                return found
        return None
    return None if former == now else key


def trained_state(model: CaptionModel) -> dict[str, Tensor]:
    """What training changes: parameters with a gradient, and the buffers of parts that are not frozen."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    trains_encoder = any(parameter.requires_grad for parameter in model.encoder.parameters())
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name not in frozen and (trains_encoder or not name.startswith("encoder."))
    }


def frozen_digest(model: CaptionModel) -> str:
    """sha256 of all that training leaves as it is: a state fits only the weights it was trained beside."""
    trained = trained_state(model).keys()
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if name not in trained:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
