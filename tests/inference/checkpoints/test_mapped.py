"""Weights over the file itself; those held in 8 bits are widened as PyTorch's reader does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.mapped import MappedWeights
from inference.checkpoints.modules import load_weights, save_checkpoint
from inference.common.types import DecodingOptions


def test_what_is_held_in_8_bits_is_what_pytorch_reads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 5))
    config = CheckpointConfig("encoder-decoder", {}, {}, DecodingOptions())
    save_checkpoint(tmp_path, module, config, half=True, int8=("0.",))
    load_weights(module, tmp_path)
    assert load_file(tmp_path / "model.safetensors")["0.weight"].dtype == torch.int8
    weights = MappedWeights(tmp_path / "model.safetensors")
    for name, tensor in module.state_dict().items():
        np.testing.assert_allclose(weights[name].astype(np.float32), tensor.numpy(), rtol=1e-6)
