"""The shipped model's encoder as a graph, which serving runs without PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inference.captioners.meme_small.sight import ENCODER
from inference.encoders.base import build_encoder
from inference.graphs.export import export
from train_scripts.meme_small.networks import pool

__all__ = ["encoder_graph"]


class _Sight(nn.Module):
    """Its tensors are named as those of a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = build_encoder(ENCODER)

    def forward(self, pixels: Tensor) -> Tensor:
        return pool(self.encoder(pixels))


def encoder_graph() -> bytes:
    """``pixels`` (n, 3, 320, 320) -> ``pooled`` (n, 2, 1280): mean and maximum over the grid's places."""
    sight = _Sight()
    size = sight.encoder.preprocessing.size
    return export(sight, {"pixels": torch.zeros(2, 3, size, size)}, {"pixels": (0,)}, ["pooled"])
