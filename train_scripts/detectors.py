"""`python -m train_scripts detectors`: word detectors for a checkpoint that was trained without them."""

from __future__ import annotations

from typing import Annotated

import typer

from inference.checkpoints.folder import find_checkpoint
from inference.checkpoints.names import CheckpointFolder
from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.interpreter import PYTHON
from train_scripts.terminal import console, one_sentence

__all__ = ["detectors_command"]


def detectors_command(
    name: Annotated[str, typer.Argument(help="A checkpoint that was trained.")],
    config: Annotated[str, typer.Option("--config", help="The config of its training, with detectors.")],
    *,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: key=value, for example detectors.ridge=1."),
    ] = None,
    models_dir: ModelsDir = DEFAULTS.models_dir,
) -> None:
    """Fit word detectors to a trained checkpoint as its training would at its end, in place. Its scores are
    left out: measure it anew, and export its graphs."""
    from train_scripts.training.config import load_config  # noqa: PLC0415
    from train_scripts.training.detecting import fit_checkpoint  # noqa: PLC0415 - torch

    with one_sentence():
        folder = find_checkpoint(models_dir, CheckpointFolder(name))
        fit_checkpoint(folder, load_config(config, overrides or ()))
    console().print(
        f"{name} has detectors now. Export its graphs: {PYTHON} -m inference export {name} "
        f"--models-dir {models_dir}"
    )
