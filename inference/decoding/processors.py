"""What changes a decoder's logits before a token is chosen: what may not be said, or not again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.common.types import DecodingOptions

LogitsProcessor = Callable[[Tensor, Tensor], Tensor]
"""``(tokens, logits) -> logits``: the tokens generated so far (r, t), int64, without the start token (after
the end token a row holds padding), and the next token's logits (r, V). V may exceed the vocabulary:
pointer decoders append positions of what they may copy."""


@dataclass(frozen=True, slots=True)
class MinTokens:
    """Forbids the end token until ``count`` tokens stand before it."""

    count: int
    eos: int

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        if tokens.shape[1] >= self.count:
            return logits
        return Forbid((self.eos,))(tokens, logits)


@dataclass(frozen=True, slots=True)
class Forbid:
    """Never says these tokens: their probability is spread over the others."""

    ids: tuple[int, ...]

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002 - the hook's signature
        return logits.index_fill(1, torch.tensor(self.ids, device=logits.device), float("-inf"))


@dataclass(frozen=True, slots=True)
class ForbidByPicture:
    """Never says these tokens of a picture; each of the n pictures lacks its own."""

    lacking: Tensor  # (n, V), bool

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002 - the hook's signature
        rows = self.lacking.repeat_interleave(len(logits) // len(self.lacking), 0)
        return logits.masked_fill(rows.to(logits.device), float("-inf"))


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Lowers what was said already: positive logits are divided by ``penalty``, negative ones multiplied.

    Keskar et al. 2019, CTRL, section 4.1. A penalty below 1 rewards repetition.
    """

    penalty: float

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        said = logits.gather(1, tokens)
        said = torch.where(said > 0, said / self.penalty, said * self.penalty)
        return logits.scatter(1, tokens, said)


@dataclass(frozen=True, slots=True)
class NoRepeatNgram:
    """Forbids any token that would complete an n-gram of ``size`` tokens which the row already holds.

    Paulus et al. 2017, section 2.5 (there for trigrams).
    """

    size: int

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        said = tokens.shape[1]
        if said < self.size:
            return logits
        grams = tokens.unfold(1, self.size, 1)  # (n, t - size + 1, size)
        current = tokens[:, said - self.size + 1 :]  # (n, size - 1)
        repeats = (grams[:, :, :-1] == current[:, None, :]).all(-1)  # (n, t - size + 1)
        forbidden = torch.zeros_like(logits, dtype=torch.int32)
        forbidden.scatter_add_(1, grams[:, :, -1], repeats.int())
        return logits.masked_fill(forbidden > 0, float("-inf"))


def asked_for(options: DecodingOptions, eos: int) -> list[LogitsProcessor]:
    """The processors that the options ask for, in their order; ``eos``: the end token."""
    processors: list[LogitsProcessor] = []
    if options.repetition_penalty != 1:
        processors.append(RepetitionPenalty(options.repetition_penalty))
    if options.no_repeat_ngram:
        processors.append(NoRepeatNgram(options.no_repeat_ngram))
    if options.min_tokens:
        processors.append(MinTokens(options.min_tokens, eos))
    return processors
