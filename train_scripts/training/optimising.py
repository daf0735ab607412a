"""The optimizers and learning rates of the originals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from inference.common.errors import UserError
from train_scripts.training.config import OptimizerConfig, ScheduleConfig, StageConfig

__all__ = ["ADAM8BIT", "make_optimizer", "make_schedule", "synchronise"]

ADAM8BIT = (
    "adam8bit keeps Adam's state in 8 bits, which only saves memory of a GPU and needs bitsandbytes with "
    "CUDA: "
    "AdamW takes its place."
)


def make_optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam adds ``weight_decay`` to the gradient, AdamW takes it from the weights."""
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(
        list(parameters),
        lr=config.rate,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,  # one pass over the memory instead of several
    )


def make_schedule(name: str, stage: StageConfig, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
    """The learning rate of a stage of ``total`` steps; ``step()`` after each of them.

    Raises UserError when the stage ends before its warm-up does.
    """
    config = stage.schedule
    if config.warmup >= total:
        raise UserError(
            f"Stage {name} warms up for {config.warmup} steps, but has only {total}: set "
            f"stages.{name}.schedule.warmup below {total}, or train for longer."
        )
    if config.name == "onecycle":
        return OneCycleLR(
            optimizer,
            max_lr=stage.optimizer.rate,
            # torch divides by the steps of the rise less one.
            total_steps=max(total, math.ceil(2 / config.rise)),
            pct_start=config.rise,
            div_factor=config.start_divisor,
            final_div_factor=config.final_divisor,
        )
    return LambdaLR(optimizer, _factor(config, total))


def _factor(config: ScheduleConfig, total: int) -> Callable[[int], float]:
    warmup = config.warmup

    def factor(done: int) -> float:
        """For the step after ``done`` ones."""
        step = done + 1
        if config.name == "noam":
            return min(math.sqrt(warmup / step), step / warmup)
        if step < warmup:
            return step / warmup
        if config.name == "linear":
            return max(0.0, (total - done) / (total - max(warmup - 1, 0)))
        if config.name == "step":
            return float(config.factor ** sum(done >= milestone for milestone in config.milestones))
        return 1.0

    return factor


class SyncedBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm over the rows of all processes, on any device: so many processes see what one would with as
    many times the batch. torch's own is for GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, features)."""
        if not self.training:
            return super().forward(x)
        count = torch.full((1,), float(len(x)), device=x.device)
        summed = _sum_of_all(torch.cat([x.float().sum(0), x.float().square().sum(0), count]))
        n, width = summed[-1], x.shape[1]
        mean = summed[:width] / n
        variance = (summed[width:-1] / n - mean.square()).clamp_min(0)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * n / (n - 1).clamp_min(1), self.momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scaled = (x - mean) * torch.rsqrt(variance + self.eps)
        return (scaled * self.weight + self.bias).to(x.dtype)


class _SumOfAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


def _sum_of_all(x: Tensor) -> Tensor:
    summed: Tensor = _SumOfAll.apply(x)
    return summed


def synchronise(model: nn.Module) -> None:
    """Every BatchNorm over vectors in ``model`` becomes one over all processes; names of weights stay."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm1d:
                synced = SyncedBatchNorm1d(child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                setattr(module, name, synced)
