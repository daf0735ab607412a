"""`python -m train_scripts detectors`: word detectors for a checkpoint that was trained without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from accelerate import Accelerator

from inference.checkpoints.folder import find_checkpoint
from inference.checkpoints.format import read_config, read_training
from inference.checkpoints.names import CheckpointFolder
from inference.common.errors import UserError
from train_scripts.metrics.command_line import Models
from train_scripts.terminal import console, one_sentence
from train_scripts.training.building import start_from_checkpoint
from train_scripts.training.config import TrainConfig, load_config
from train_scripts.training.detecting import detectors_of
from train_scripts.training.inputs import Inputs, read_stage
from train_scripts.training.seeing import pool_of

__all__ = ["detectors_command", "fit_checkpoint"]


def detectors_command(
    name: Annotated[str, typer.Argument(help="A checkpoint that was trained.")],
    config: Annotated[str, typer.Option("--config", help="The config of its training, with detectors.")],
    *,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: key=value, for example detectors.ridge=1."),
    ] = None,
    models_dir: Models = Path("checkpoints"),
) -> None:
    """Fit word detectors to a trained checkpoint as its training would at its end, in place. Its scores are
    left out: measure it anew, and export its graphs."""
    with one_sentence():
        folder = find_checkpoint(models_dir, CheckpointFolder(name))
        fit_checkpoint(folder, load_config(config, overrides or ()))
    console().print(f"{name} has detectors now. Export its graphs: python -m inference export {name}")


def fit_checkpoint(folder: Path, config: TrainConfig) -> None:
    """Gives the checkpoint in ``folder`` the detectors that a run of ``config`` would have given it.

    Raises UserError, one sentence, for whatever is missing or does not fit.
    """
    if config.detectors is None:
        raise UserError(
            "The config says nothing of detectors: write them into it, or add --set detectors={}."
        )
    model, stored, record = start_from_checkpoint(folder), read_config(folder), read_training(folder)
    last = [*config.stages][-1]
    pool = pool_of(config.workers)
    try:
        data = {last: read_stage(config, last)}
        inputs = Inputs(config, data, model, readings=None, accelerator=Accelerator(), pool=pool)
        inputs.see([last])
        model.detect_with(detectors_of(inputs, last, config.detectors))
    finally:
        pool.shutdown(cancel_futures=True)
    training = {key: value for key, value in record.training.items() if key != "scores_without_words"}
    training["detectors"] = config.detectors.model_dump(mode="json")
    record = replace(record, training=training, scores={})
    model.save(folder, stored.decoding, record, preset=stored.preset, half=config.half, int8=config.int8)
