"""Continues the training of a checkpoint on feedback.

The loss of a step is

    weighted likelihood of the lessons, and of rows of the original training data (replay)
  + ``preference`` x DPO (Rafailov et al. 2023, arXiv:2305.18290) on the pairs, with the parent as reference

Why both: a correction says what is right, and only likelihood teaches a text word by word; with a few dozen
pairs DPO by itself mostly learns to push the worse text down and takes the better one along (Pal et al. 2024,
arXiv:2402.13228). The likelihood beside it holds the better text up, and the pairs add what likelihood cannot
know: which of the model's own captions people did not want. Replay keeps what was learnt before.

After every epoch the student captions the val pictures and the corrected ones. It is kept where it comes
nearest to the corrections without being worse on val (:func:`train_scripts.feedback.judge.worse`); the
training ends when no such epoch has come for a while.
"""

from __future__ import annotations

import copy
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.common.errors import UserError
from train_scripts.feedback.judge import Judge, Verdict, near
from train_scripts.feedback.students import Example, Student


@dataclass(frozen=True, slots=True)
class Options:
    """What decides the outcome; written into the checkpoint."""

    epochs: int = 24
    rate: float = 1e-3  # of AdamW, after a short warm-up; a student may give parts of it less
    batch: int = 4  # lessons a step
    replay: float = 4.0  # rows of the original training data for every lesson
    preference: float = 0.2  # weight of DPO beside the likelihood
    beta: float = 0.1  # of DPO: how far the student may go from its parent
    patience: int = 5  # epochs that may pass without coming nearer to the corrections
    measure: str = "meteor"  # that must not fall on val
    val_pictures: int = 200  # of the val split, drawn once; 0 = all
    seed: int = 7

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Weighted:
    """A lesson, or a row of the original data, ready to be learnt."""

    example: Example
    weight: float


@dataclass(frozen=True, slots=True)
class Preferred:
    """A pair ready to be compared. ``margin``: of the parent, how much likelier it finds the better text."""

    better: Example
    worse: Example
    weight: float
    margin: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """``epoch``: of the weights that were kept. ``history``: one row an epoch."""

    epoch: int
    verdict: Verdict
    history: tuple[dict[str, Any], ...]
    stopped: str  # why


@dataclass(frozen=True, slots=True)
class Material:
    """All there is to learn; ``replay`` is drawn from, ``lessons`` and ``pairs`` are all used every epoch."""

    lessons: Sequence[Weighted]
    pairs: Sequence[Preferred]
    replay: Sequence[Weighted]


def margins(student: Student, pairs: Sequence[tuple[Example, Example]]) -> list[float]:
    """How much likelier the student finds the better text of each pair: a difference of log-probabilities."""
    found: list[float] = []
    with torch.no_grad():
        for better, worse in pairs:
            likelihood = student.score([better, worse]).likelihood
            found.append(float(likelihood[0] - likelihood[1]))
    return found


def finetune(
    student: Student,
    material: Material,
    judge: Judge,
    options: Options,
    *,
    say: Callable[[str], None],
) -> Outcome:
    """Trains ``student`` in place and leaves it with the weights that were kept.

    Raises UserError when it became worse on val, or came no nearer to the corrections.
    """
    shuffle = random.Random(options.seed)
    torch.manual_seed(options.seed)
    steps = max(1, math.ceil(max(len(material.lessons), len(material.pairs)) / options.batch))
    optimizer = torch.optim.AdamW(student.groups(options.rate), weight_decay=0.01)
    warm = max(1, steps // 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm))
    kept: dict[str, Tensor] | None = None
    best: tuple[int, Verdict] | None = None
    reach = near(judge.parent_feedback, judge.corrections)  # NaN without corrections
    reach = -math.inf if math.isnan(reach) else reach
    history: list[dict[str, Any]] = []
    stopped = f"after {options.epochs} epochs, as asked"
    for epoch in range(1, options.epochs + 1):
        started = time.perf_counter()
        losses = []
        for learnt, pairs in _steps(material, options, steps, shuffle):
            losses.append(_step(student, learnt, pairs, options, optimizer))
            schedule.step()
        verdict = judge.judge(student)
        preferred = margins(student, [(one.better, one.worse) for one in material.pairs])
        row = {
            "epoch": epoch,
            "loss": mean(losses),
            f"val_{options.measure}": _finite(verdict.value),
            "nearness": _finite(verdict.nearness),
            "preferred": sum(one > 0 for one in preferred) / len(preferred) if preferred else None,
            "worse": list(verdict.worse),
            "seconds": time.perf_counter() - started,
        }
        history.append(row)
        say(json.dumps(row, ensure_ascii=False))
        goal = verdict.nearness
        if math.isnan(goal):  # marks only
            goal = -mean(losses)
        # What is worse is not kept; the next may not be, and some are so by chance alone.
        if goal > reach and not verdict.worse:
            reach, best = goal, (epoch, verdict)
            kept = copy.deepcopy(student.module.state_dict())
        elif epoch - (best[0] if best else 0) >= options.patience:
            harmed = f", and worse on val in: {', '.join(verdict.worse)}" if verdict.worse else ""
            stopped = f"at epoch {epoch}: no nearer to the corrections for {options.patience} epochs{harmed}"
            break
    if best is None or kept is None:
        if history[-1]["worse"]:
            raise UserError(
                f"The model became worse on val ({', '.join(history[-1]['worse'])}), so nothing was written: "
                "try a smaller --rate or a larger --replay."
            )
        raise UserError(
            "The captions came no nearer to the corrections, so nothing was written: "
            "try a larger --rate or more --epochs, or wait for more corrections."
        )
    student.module.load_state_dict(kept)
    return Outcome(best[0], best[1], tuple(history), stopped)


def _steps(
    material: Material, options: Options, steps: int, shuffle: random.Random
) -> Iterator[tuple[list[Weighted], list[Preferred]]]:
    """Every lesson and every pair once; with the lessons of each step as much of the original data as asked.

    Both are in one batch and one mean: the ratio of their numbers is that of their say.
    """
    lessons, pairs = list(material.lessons), list(material.pairs)
    shuffle.shuffle(lessons)
    shuffle.shuffle(pairs)
    count = min(len(material.replay), round(options.replay * options.batch))
    for step in range(steps):
        again = shuffle.sample(list(material.replay), count)
        yield [*lessons[step::steps], *again], pairs[step::steps]


def _step(
    student: Student,
    learnt: Sequence[Weighted],
    pairs: Sequence[Preferred],
    options: Options,
    optimizer: torch.optim.Optimizer,
) -> float:
    """One step of the optimizer; returns the loss before it."""
    optimizer.zero_grad()
    losses = []
    if learnt:
        losses.append(_likelihood(student, learnt))
    if pairs:
        losses.append(options.preference * _dpo(student, pairs, options.beta))
    loss = torch.stack(losses).sum()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    return float(loss.detach())


def _likelihood(student: Student, rows: Sequence[Weighted]) -> Tensor:
    """The mean loss a token of each text, and what is learnt beside it, averaged by weight."""
    scores = student.score([one.example for one in rows])
    weights = torch.tensor([one.weight for one in rows])
    losses = -scores.likelihood / scores.tokens.clamp(min=1) + scores.beside
    return (weights * losses).sum() / weights.sum()


def _dpo(student: Student, pairs: Sequence[Preferred], beta: float) -> Tensor:
    scores = student.score([one.better for one in pairs] + [one.worse for one in pairs]).likelihood
    margin = scores[: len(pairs)] - scores[len(pairs) :]
    reference = torch.tensor([one.margin for one in pairs])
    weights = torch.tensor([one.weight for one in pairs])
    losses = -functional.logsigmoid(beta * (margin - reference))
    return (weights * losses).sum() / weights.sum()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_rows(history: Sequence[Mapping[str, Any]], measure: str) -> list[tuple[str, ...]]:
    """The history as a table's rows: epoch, loss, the measure on val, nearness, preferred."""

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    return [
        (
            str(row["epoch"]),
            show(row["loss"]),
            show(row[f"val_{measure}"]),
            show(row["nearness"]),
            show(row["preferred"]),
        )
        for row in history
    ]
