"""A decoder that is a torch module, as the search drives it: numpy's arrays in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference.decoders.base import CaptionDecoder
from inference.decoding.decoder import Logits, Reorderable, Tokens, rows_of, selected


class TorchDecoder:
    """A :class:`inference.decoding.decoder.Decoder` of a module in eval mode, which computes where its
    weights are.

    ``memory`` is what the module's ``start`` takes, on the same device.
    """

    def __init__(self, module: CaptionDecoder) -> None:
        self.module = module
        self.device = next(module.parameters()).device

    @torch.inference_mode()
    def start(self, memory: Any) -> TorchState:
        """See :class:`inference.decoding.decoder.Decoder`."""
        return TorchState(self.module.start(memory))

    @torch.inference_mode()
    def feed(self, state: TorchState, tokens: Tokens, lengths: Tokens) -> TorchState:
        """See :class:`inference.decoding.decoder.Prompted`."""
        return TorchState(self.module.feed(state.parts, self._moved(tokens), self._moved(lengths)))

    @torch.inference_mode()
    def step(self, state: TorchState, tokens: Tokens) -> tuple[Logits, TorchState]:
        """See :class:`inference.decoding.decoder.Decoder`."""
        logits, parts = self.module.step(state.parts, self._moved(tokens))
        return logits.float().cpu().numpy(), TorchState(parts)

    def _moved(self, tokens: Tokens) -> Tensor:
        return torch.from_numpy(tokens).to(self.device)


@dataclass(frozen=True, slots=True)
class TorchState(Reorderable):
    """What the module keeps: a pytree of tensors whose dimension 0 is the batch."""

    parts: Any

    @property
    def rows(self) -> int:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return rows_of(self.parts)

    @torch.inference_mode()
    def reorder(self, index: Tokens) -> TorchState:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return TorchState(selected(self.parts, torch.from_numpy(index), Tensor, _select))


def _select(tensor: Tensor, index: Tensor) -> Tensor:
    return tensor.index_select(0, index.to(tensor.device))
