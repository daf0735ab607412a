"""Networks of random weights, as several tests want them."""

from __future__ import annotations

from torch import nn


def random_statistics(network: nn.Module, *, means: float = 0.2) -> None:
    """BatchNorm that does something, not the identity of a fresh network: means within ± ``means``, variances
    of 0.5 to 1.5."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-means, means)
            module.running_var.uniform_(0.5, 1.5)
