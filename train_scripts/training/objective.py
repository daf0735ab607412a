"""The loss of a batch: what data-parallel training wraps.

Shapes: n rows, L tokens, V words.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.decoders.base import IGNORED, CaptionDecoder
from inference.encoders.base import Memory

__all__ = ["Objective", "sampled_logits", "tokens_of"]


def tokens_of(batch: Batch) -> Tensor:
    """(n,): how many targets of each row count."""
    return (batch.targets != IGNORED).sum(1)


class Objective(nn.Module):
    """``memory`` is what the encoder yields, or pixels where it is trained.

    The result is a sum over rows and tokens, not a mean: whoever knows all batches of a step, on all
    processes, divides by what they hold together.
    """

    def __init__(self, model: CaptionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, memory: Memory, batch: Batch, weights: Sequence[float], forcing: float = 1.0) -> Tensor:
        """The losses of all target tokens, each times its row's weight: a scalar.

        `forcing`: how likely a token fed is the true one and not what the model itself would have said.
        """
        model = self.model
        if isinstance(memory, Tensor) and memory.dim() == 4:
            memory = model.encoder(memory)
        if type(model.decoder).loss is not CaptionDecoder.loss:
            return self._whole(memory, batch, weights)
        if forcing < 1:
            logits = sampled_logits(model.decoder, memory, batch, forcing)
            losses = functional.cross_entropy(
                logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
            ).view_as(batch.targets)
        else:
            losses = model.decoder.token_losses(memory, batch.tokens, batch.targets, batch.added)
        return (losses.sum(1) * torch.tensor(weights, device=losses.device)).sum()

    def _whole(self, memory: Memory, batch: Batch, weights: Sequence[float]) -> Tensor:
        """By the decoder's own loss, which is a mean: once for each weight there is."""
        total = torch.zeros((), device=batch.targets.device)
        for weight in dict.fromkeys(weights):
            rows = [i for i, own in enumerate(weights) if own == weight]
            part = _rows(batch, rows)
            mean = self.model.loss(_rows_of(memory, rows), part)
            total = total + mean * tokens_of(part).sum() * weight
        return total


def _rows(batch: Batch, rows: list[int]) -> Batch:
    if len(rows) == len(batch.tokens):
        return batch
    left = None if batch.left is None else batch.left[rows]
    return Batch(batch.tokens[rows], batch.targets[rows], left)


def _rows_of(memory: Memory, rows: list[int]) -> Memory:
    if isinstance(memory, Tensor):
        return memory if len(rows) == len(memory) else memory[rows]
    return tuple(part[rows] for part in memory)


def sampled_logits(decoder: CaptionDecoder, memory: Memory, batch: Batch, forcing: float) -> Tensor:
    """Scheduled sampling (Bengio et al. 2015): logits (n, L, V) where each token fed is the true one with the
    probability ``forcing``, else the likeliest of the step before. What is given to the model and not said by
    it is always the true one."""
    state = decoder.start(memory)
    token, logits = batch.tokens[:, 0], []
    for place in range(batch.tokens.shape[1]):
        scores, state = decoder.step(state, token)
        if batch.added is not None:
            scores = scores + batch.added[:, place]
        logits.append(scores)
        if place + 1 < batch.tokens.shape[1]:
            true = torch.rand(len(token), device=token.device) < forcing
            given = batch.targets[:, place] == IGNORED
            token = torch.where(true | given, batch.tokens[:, place + 1], scores.detach().argmax(-1))
    return torch.stack(logits, 1)
