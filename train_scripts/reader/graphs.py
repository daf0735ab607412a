"""The reader's two networks as graphs, which serving runs without PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from inference.graphs.export import export
from inference.reading.regions import LINE_HEIGHT
from train_scripts.reader.networks import LineRecognizer, TextDetector

__all__ = ["detector_graph", "recognizer_graph"]


def detector_graph() -> bytes:
    """``pixels`` (1, 3, h, w) -> ``probabilities`` (1, h, w), as :class:`TextDetector` has them."""
    pixels = torch.zeros(1, 3, 320, 448)
    return export(TextDetector(), {"pixels": pixels}, {"pixels": (2, 3)}, ["probabilities"])


def recognizer_graph() -> bytes:
    """``pixels`` (n, 3, 48, w) -> ``steps`` (n, w / 8, 120), of which the head makes logits.

    The head is left to whoever runs the graph: how many characters there are is the weights' business.
    """
    network = LineRecognizer(1)
    network.head = nn.Identity()  # type: ignore[assignment]  # a module like the other
    pixels = torch.zeros(2, 3, LINE_HEIGHT, 160)
    return export(network, {"pixels": pixels}, {"pixels": (0, 3)}, ["steps"])
