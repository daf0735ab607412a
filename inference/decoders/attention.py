"""Where to look: a weighted mean of the picture's places, with weights that depend on what was said so far.

Shapes: n pictures, p places of d numbers, a query of q numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["additive", "soft", "dot"]


class Attention(nn.Module):
    """One of three scores, each followed by a softmax over places:

    * ``additive``: v . tanh(W values + U query), Bahdanau et al. 2015;
    * ``soft``: v . relu(W values + U query), as Xu et al.'s (2015) captioner is usually written;
    * ``dot``: values . (U query) / sqrt(d), Luong et al. 2015 ("general"), one batched product.
    """

    def __init__(self, kind: Kind, values: int, query: int, width: int) -> None:
        super().__init__()
        if kind not in {"additive", "soft", "dot"}:
            raise ValueError(f"Attention is additive, soft or dot, not {kind!r}.")
        self.kind = kind
        self.query = nn.Linear(query, values if kind == "dot" else width)
        if kind != "dot":
            self.keys = nn.Linear(values, width)
            self.score = nn.Linear(width, 1)

    def prepare(self, values: Tensor) -> Tensor:
        """What is computed once for a picture: (n, p, d) to keys (n, p, width), or the values for ``dot``."""
        keys: Tensor = values if self.kind == "dot" else self.keys(values)
        return keys

    def forward(self, keys: Tensor, values: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """``keys`` of :meth:`prepare`, ``values`` (n, p, d), ``query`` (n, q), to the mean (n, d) and the
        weights (n, p)."""
        asked = self.query(query)
        if self.kind == "dot":
            scores = torch.bmm(keys, asked[:, :, None])[:, :, 0] / keys.shape[-1] ** 0.5
        else:
            mixed = keys + asked[:, None]
            mixed = torch.tanh(mixed) if self.kind == "additive" else torch.relu(mixed)
            scores = self.score(mixed)[:, :, 0]
        weights = scores.softmax(-1)
        return torch.bmm(weights[:, None], values)[:, 0], weights
