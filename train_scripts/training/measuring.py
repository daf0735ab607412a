"""How good the model in training is: its loss on val, and a score of what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from accelerate.utils import gather_object

from inference.common.types import DecodingOptions
from train_scripts.metrics.evaluator import evaluate
from train_scripts.training.config import REWARD, VAL_LOSS, StageConfig
from train_scripts.training.data import TrainRow, references_of
from train_scripts.training.inputs import Inputs, validated
from train_scripts.training.objective import Objective, tokens_of

__all__ = ["captions", "measure"]

_GENERATED = 16  # pictures captioned together


def measure(
    inputs: Inputs, name: str, rows: Sequence[TrainRow], options: DecodingOptions
) -> dict[str, float]:
    """The loss on ``rows``, and the metric of the stage ``name`` of the captions where it is another; without
    those that are not numbers: they are no point of a curve, and decide nothing. Every process takes its
    share of the rows, and all get the same numbers.
    """
    model, stage = inputs.model.eval(), inputs.config.stages[name]
    found = {VAL_LOSS: _loss(inputs, stage, rows)}
    if stage.metric == REWARD:
        found[REWARD] = _reward(inputs, name, validated(stage, rows), options)
    elif stage.metric != VAL_LOSS:
        shown = validated(stage, rows)
        said = captions(inputs, stage, shown, options)
        found[stage.metric] = evaluate(said, references_of(rows, shown), resamples=1)[stage.metric]
    model.train()
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _reward(inputs: Inputs, name: str, rows: Sequence[TrainRow], options: DecodingOptions) -> float:
    """What the captions are worth on average, those told nothing counting as often as the stage learns so."""
    stage, rewards = inputs.config.stages[name], inputs.rewards(name)
    if rewards is None:
        raise ValueError(f"The stage {name} rewards nothing: give it another metric.")
    total = 0.0
    for share, told in ((1 - stage.unread, True), (stage.unread, False)):
        if share:
            said = captions(inputs, stage, rows, options, told=told)
            total += share * float(rewards([*said.values()], [*said]).mean())
    return total


def _loss(inputs: Inputs, stage: StageConfig, rows: Sequence[TrainRow]) -> float:
    """The mean over all tokens."""
    accelerator = inputs.accelerator
    own = list(rows[accelerator.process_index :: accelerator.num_processes])
    own.sort(key=lambda row: len(row.text))
    groups = [own[i : i + stage.batch] for i in range(0, len(own), stage.batch)]
    sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    objective = Objective(inputs.model)
    with torch.no_grad(), accelerator.autocast():
        for group in groups:
            memory = inputs.moved(inputs.memory(group, stage))
            batch = inputs.led(inputs.batch(group), group, memory).to(accelerator.device)
            sums[0] += objective(memory, batch, (1.0,) * len(group)).double()
            sums[1] += tokens_of(batch).sum()
    total = accelerator.reduce(sums, "sum")
    return float(total[0] / total[1])


def captions(
    inputs: Inputs,
    stage: StageConfig,
    rows: Sequence[TrainRow],
    options: DecodingOptions,
    *,
    told: bool = True,
) -> dict[str, str]:
    """What the model says of the rows' pictures, by path; ``stage`` says how pictures are seen; ``told``:
    whether it is told what was read on them."""
    accelerator, model = inputs.accelerator, inputs.model.eval()
    own = list(rows[accelerator.process_index :: accelerator.num_processes])
    said: list[tuple[str, str]] = []
    torch.manual_seed(inputs.config.seed)  # of a preset that samples
    with torch.inference_mode():
        for start in range(0, len(own), _GENERATED):
            group = own[start : start + _GENERATED]
            memory = inputs.moved(inputs.memory(group, stage))
            readings = inputs.readings_of(group) if told else None
            texts, _ = model.describe_memory(memory, readings, options)
            said += [(str(row.picture), text) for row, text in zip(group, texts, strict=True)]
    if accelerator.num_processes > 1:
        said = gather_object(said)
    return dict(said)
