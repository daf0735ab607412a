"""A transformer decoder (Vaswani et al. 2017): a word looks at those before it, and at the picture's places.

The layers are torch's, so their weights have its names. Their arithmetic is run here: one path for training
and for steps with a cache of keys and values.

Shapes: n pictures, p places of d numbers, L tokens, V words, w the width of the model, h its heads, N layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.decoders.base import CaptionDecoder, register
from inference.decoders.caches import KeyValues
from inference.encoders.base import Memory


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """The defaults are the paper's base model. Raises ValueError when the settings contradict each other."""

    vocabulary: int  # V
    picture: int  # d, the encoder's width
    width: int = 512  # w
    layers: int = 6  # N
    heads: int = 8  # h
    inner: int = 2048  # of the two layers that follow attention
    positions: int = 256  # the longest sentence
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"The width {self.width} is no even number for each of {self.heads} heads.")


@dataclass(frozen=True, slots=True)
class TransformerState:
    """Dimension 0 is the batch in all of it."""

    cache: KeyValues
    seen: Tensor  # (n, N, 2, h, p, w / h): what each layer asks of the picture, keys and values
    # Where rows were fed unequally many tokens: what each has (n, t), bool, the rest is padding; and how many
    # places it has (n,). Both None where all have all.
    own: Tensor | None = None
    places: Tensor | None = None


@register("transformer", TransformerConfig)
class TransformerDecoder(CaptionDecoder):
    """Takes a ``grid`` (n, p, d), or a ``global`` memory (n, d) as its only place."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        self.bridge = nn.Linear(config.picture, config.width)
        self.drop = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(_layer(config) for _ in range(config.layers))
        self.output = nn.Linear(config.width, config.vocabulary)
        self.register_buffer("waves", _waves(config.positions, config.width))

    def places(self, seen: int) -> int:  # noqa: ARG002 - the picture has places of its own
        """See :class:`CaptionDecoder`."""
        return self.config.positions

    def start(self, memory: Memory) -> TransformerState:
        """``memory`` (n, p, d) or (n, d)."""
        seen = self._seen(memory)
        before = seen.new_empty(len(seen), 0, self.config.width)
        return TransformerState(KeyValues.empty(before, self.config.layers, self.config.heads), seen)

    def feed(self, state: TransformerState, tokens: Tensor, lengths: Tensor) -> TransformerState:
        """See :class:`CaptionDecoder`: all at once, shorter rows padded."""
        past = state.cache.length
        cache = state.cache.grown(tokens.shape[1])
        self._run(tokens, state.seen, cache)
        if bool((lengths == tokens.shape[1]).all()):
            return TransformerState(cache, state.seen)
        places = past + lengths
        own = torch.arange(cache.length, device=tokens.device) < places[:, None]
        return TransformerState(cache, state.seen, own, places)

    def step(self, state: TransformerState, tokens: Tensor) -> tuple[Tensor, TransformerState]:
        """See :class:`CaptionDecoder`."""
        own, places, cache = state.own, state.places, state.cache.grown(1)
        if own is not None:
            own = torch.cat([own, own.new_ones(len(own), 1)], 1)
        hidden = self._run(tokens[:, None], state.seen, cache, own, places)
        places = None if places is None else places + 1
        return self.output(hidden[:, 0]), TransformerState(cache, state.seen, own, places)

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """See :class:`CaptionDecoder`. Padding behind a sentence changes nothing before it."""
        logits: Tensor = self.output(self._run(tokens, self._seen(memory)))
        return logits

    def _seen(self, memory: Memory) -> Tensor:
        """See :attr:`TransformerState.seen`."""
        if isinstance(memory, tuple):
            raise TypeError("A transformer decoder takes one vector or a grid, not several layers.")
        x = self.bridge(memory[:, None] if memory.dim() == 2 else memory)
        n, p, width = x.shape
        kept = []
        for layer in self.layers:
            asked: Any = layer.multihead_attn
            y = functional.linear(x, asked.in_proj_weight[width:], asked.in_proj_bias[width:])
            kept.append(y.view(n, p, 2, self.config.heads, -1).permute(0, 2, 3, 1, 4))
        return torch.stack(kept, 1)

    def _run(
        self,
        tokens: Tensor,
        seen: Tensor,
        cache: KeyValues | None = None,
        own: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """(n, t) to (n, t, w): all tokens there are, or the last t of ``cache``, which are put there.

        ``own`` and ``places`` of :class:`TransformerState`, the former with the new place: of a single new
        one.
        """
        n, t = tokens.shape
        width, heads = self.config.width, self.config.heads
        end = t if cache is None else cache.length
        if end > self.config.positions:
            raise ValueError(
                f"The sentence has {end} places, the decoder has {self.config.positions}: lower max_tokens."
            )
        waves = self.get_buffer("waves")
        placed = waves[end - t : end] if places is None else waves[places][:, None]
        x: Tensor = self.drop(self.embedding(tokens) * math.sqrt(width) + placed)
        # One new place sees all before it: only several at once need the triangle.
        mask = None if own is None else own[:, None, None]
        if t > 1:
            mask = torch.ones(t, end, dtype=torch.bool, device=x.device).tril(end - t)
        for i, each in enumerate(self.layers):
            layer: Any = each
            before, asked = layer.self_attn, layer.multihead_attn
            y = functional.linear(x, before.in_proj_weight, before.in_proj_bias)
            y = y.view(n, t, 3, heads, -1).transpose(1, 3)
            q, k, v = y.unbind(2)  # (n, h, t, w / h)
            if cache is not None:
                k, v = cache.put(i, y[:, :, 1:].transpose(1, 2))
            x = layer.norm1(x + layer.dropout1(before.out_proj(self._mixed(q, k, v, mask))))
            q = functional.linear(x, asked.in_proj_weight[:width], asked.in_proj_bias[:width])
            q = q.view(n, t, heads, -1).transpose(1, 2)
            mixed = self._mixed(q, seen[:, i, 0], seen[:, i, 1])
            x = layer.norm2(x + layer.dropout2(asked.out_proj(mixed)))
            y = layer.linear2(layer.dropout(functional.relu(layer.linear1(x))))
            x = layer.norm3(x + layer.dropout3(y))
        return x

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, h, t, w / h) of queries to the heads' answers side by side, (n, t, w)."""
        dropout = self.config.dropout if self.training else 0.0
        return functional.scaled_dot_product_attention(q, k, v, mask, dropout).transpose(1, 2).flatten(2)


def _waves(places: int, width: int) -> Tensor:
    """(places, width): sines and cosines by turns, whose lengths grow from 2 pi to 10,000 times that."""
    lengths = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(places)[:, None] * lengths
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def _layer(config: TransformerConfig) -> nn.TransformerDecoderLayer:
    return nn.TransformerDecoderLayer(
        config.width, config.heads, config.inner, config.dropout, batch_first=True
    )
