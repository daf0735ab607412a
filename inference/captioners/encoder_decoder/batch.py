"""What an encoder-decoder learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from inference.decoders.base import IGNORED


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences to learn from, padded to one length L."""

    tokens: Tensor  # (n, L), int64: what is fed, the start token first
    # (n, L), int64: what follows each token, the end token included; IGNORED where nothing is learned.
    targets: Tensor

    # (n, l), int64: the words read, where the decoder has a place for them before the picture (RuDOLPH).
    left: Tensor | None = None

    @classmethod
    def together(cls, parts: Sequence[Batch], pad: int) -> Batch:
        """The sentences of all parts, padded to the longest with the token ``pad``."""
        left = [part.left for part in parts if part.left is not None]
        return cls(
            padded([row for part in parts for row in part.tokens], pad),
            padded([row for part in parts for row in part.targets], IGNORED),
            torch.cat(left) if left else None,
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        left = None if self.left is None else self.left.to(device)
        return Batch(self.tokens.to(device), self.targets.to(device), left)


def padded(rows: list[Tensor], value: int) -> Tensor:
    """Rows of unlike lengths as (n, L), int64."""
    return pad_sequence(rows, True, value) if rows else torch.empty(0, 0, dtype=torch.int64)
