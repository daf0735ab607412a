"""What is on a picture, as far as descriptions of other pictures teach it: word detectors.

Fang et al. 2015 (arXiv:1411.4952) put detectors of words before the language model; here one linear layer
over a frozen network's features, with a ridge, is all that some thousands of pictures can feed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.reading.features import LAYOUT_FEATURES


class ConceptDetector(nn.Module):
    """Probabilities of concepts from the mean and the maximum of a grid, the layout, and the words read.

    A concept that the picture also spells out ("кот" among the words read) is likelier: one number,
    ``copied``, learnt for all concepts together.
    """

    def __init__(self, width: int, concepts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width + LAYOUT_FEATURES, concepts)
        self.copied = nn.Parameter(torch.zeros(1))
        self.layout_mean: Tensor
        self.layout_scale: Tensor
        self.register_buffer("layout_mean", torch.zeros(LAYOUT_FEATURES))
        self.register_buffer("layout_scale", torch.ones(LAYOUT_FEATURES))

    def features(self, pooled: Tensor, layout: Tensor) -> Tensor:
        """``pooled`` (n, 2, width) of :func:`pool`, ``layout`` (n, LAYOUT_FEATURES) -> (n, features), scaled
        so that one ridge suits them all.
        """
        seen = functional.normalize(pooled, dim=-1).flatten(1) * 8
        return torch.cat((seen, (layout - self.layout_mean) / self.layout_scale * 0.3), dim=1)

    def forward(self, pooled: Tensor, layout: Tensor, spelt: Tensor) -> Tensor:
        """``spelt`` (n, concepts): 1 where the concept is among the words read. -> logits (n, concepts)."""
        return torch.as_tensor(self.linear(self.features(pooled, layout)) + self.copied * spelt)


def pool(grid: Tensor) -> Tensor:
    """(n, places, width) -> (n, 2, width): mean and maximum over places."""
    return torch.stack((grid.mean(1), grid.amax(1)), dim=1)
