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
    # (n, L, V), float32: what is added to the decoder's logits of what follows each token; None: nothing.
    added: Tensor | None = None

    @classmethod
    def together(cls, parts: Sequence[Batch], pad: int) -> Batch:
        """The sentences of all parts, padded to the longest with the token ``pad``."""
        left = [part.left for part in parts if part.left is not None]
        added = [row for part in parts if part.added is not None for row in part.added]
        return cls(
            padded([row for part in parts for row in part.tokens], pad),
            padded([row for part in parts for row in part.targets], IGNORED),
            torch.cat(left) if left else None,
            pad_sequence(added, True) if added else None,
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        left, added = (None if part is None else part.to(device) for part in (self.left, self.added))
        return Batch(self.tokens.to(device), self.targets.to(device), left, added)


def padded(rows: list[Tensor], value: int) -> Tensor:
    """Rows of unlike lengths as (n, L), int64."""
    return pad_sequence(rows, True, value) if rows else torch.empty(0, 0, dtype=torch.int64)
