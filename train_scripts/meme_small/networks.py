"""The shipped model as it learns: the networks that serving runs without PyTorch.

Its numbers are served by ``inference/captioners/meme_small``: the encoder as a graph, detectors and decoder
(whose plan is told there) in numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from inference.captioners.meme_small import decoder
from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.memory import Array, SlotMemory, SlotPrefixConfig
from inference.captioners.meme_small.model import MemeSmall
from inference.captioners.meme_small.sight import ENCODER
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.modules import load_weights
from inference.encoders.base import build_encoder
from inference.reading.features import LAYOUT_FEATURES, LINE_FEATURES
from inference.tokenizers.slots import SlotTokenizer


class MemeSmallNetwork(nn.Module):
    """Encoder, detectors and decoder. ``word_concepts`` (vocabulary,): the concept that each word names, as
    the table says. ``encoder``: its config; None: the shipped one.
    """

    def __init__(
        self, config: SlotPrefixConfig, table: ConceptTable, encoder: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder or ENCODER)
        self.detector = ConceptDetector(self.encoder.widths[0], len(table.concepts))
        self.word_concepts = table.word_concepts
        self.decoder = SlotPrefixDecoder(config, torch.tensor(list(table.word_concepts)))

    def model(self, tokenizer: SlotTokenizer, table: ConceptTable) -> MemeSmall:
        """It describes with what the network has learnt by then."""
        return MemeSmall(TorchParts(self), tokenizer, table)


class TorchParts:
    """A network behind :class:`inference.captioners.meme_small.model.Parts`."""

    def __init__(self, network: MemeSmallNetwork) -> None:
        self.network = network

    @property
    def config(self) -> SlotPrefixConfig:
        return self.network.decoder.config

    @property
    def decoder(self) -> decoder.SlotPrefixDecoder:
        """With what the network has learnt by now: it is made anew each time."""
        weights = {name: value.numpy() for name, value in self.network.decoder.state_dict().items()}
        return decoder.SlotPrefixDecoder(self.config, weights, self.network.word_concepts)

    @torch.inference_mode()
    def see(self, images: Sequence[Image.Image]) -> Array:
        encoder = self.network.encoder
        return np.asarray(pool(encoder(torch.from_numpy(encoder.preprocessing(images)))))

    @torch.inference_mode()
    def detect(self, pooled: Array, layout: Array, spelt: Array) -> Array:
        told = (torch.from_numpy(one) for one in (pooled, layout, spelt))
        return np.asarray(torch.sigmoid(self.network.detector(*told)))


def learning_parts(
    folder: Path,
    config: CheckpointConfig,
    sizes: SlotPrefixConfig,
    table: ConceptTable,
    threads: int | None = None,  # noqa: ARG001 - who learns sets those of the whole process
) -> TorchParts:
    """A checkpoint's weights in a network, for :meth:`SlotDescriber.load`.

    Raises CheckpointError when they are not those of the config.
    """
    network = MemeSmallNetwork(sizes, table, config.encoder)
    load_weights(network, folder)
    return TorchParts(network.eval())


def as_tensors(memory: SlotMemory[Array]) -> SlotMemory[Tensor]:
    """The same memory for the networks."""
    return SlotMemory(**{own.name: torch.from_numpy(getattr(memory, own.name)) for own in fields(memory)})


def pool(grid: Tensor) -> Tensor:
    """(n, places, width) -> (n, 2, width): mean and maximum over places."""
    return torch.stack((grid.mean(1), grid.amax(1)), dim=1)


class ConceptDetector(nn.Module):
    """See :class:`inference.captioners.meme_small.concepts.ConceptDetector`."""

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


class _Attention(nn.Module):
    def __init__(self, config: SlotPrefixConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (n, t, width), mask (n, 1, t, t) True = may look -> as x."""
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return torch.as_tensor(self.out(y.transpose(1, 2).reshape(n, t, width)))


class _Block(nn.Module):
    def __init__(self, config: SlotPrefixConfig) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(config.width)
        self.attention = _Attention(config)
        self.norm_2 = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, 4 * config.width), nn.GELU(), nn.Linear(4 * config.width, config.width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_1(x), mask))
        return torch.as_tensor(x + self.dropout(self.mlp(self.norm_2(x))))


def _words_of(word_concepts: Tensor, concepts: int) -> Tensor:
    """(concepts, most) ids of the words that name each concept, 0 where there are fewer."""
    words: list[list[int]] = [[] for _ in range(concepts)]
    for word, concept in enumerate(word_concepts.tolist()):
        if concept >= 0:
            words[concept].append(word)
    most = max((len(own) for own in words), default=0) or 1
    return torch.tensor([own + [0] * (most - len(own)) for own in words]).reshape(concepts, most)


class SlotPrefixDecoder(nn.Module):
    """Teacher forcing over whole sentences; :mod:`inference.captioners.meme_small.decoder` says them.

    Logits have ``vocabulary + m`` entries: the words, then the m lines of the picture (-inf where there is
    none). ``word_concepts`` (vocabulary,): the concept that each word names, negative where none; a concept's
    vector in the prefix starts from its words' vectors, so that what is seen is close to how it is said.
    """

    def __init__(self, config: SlotPrefixConfig, word_concepts: Tensor) -> None:
        super().__init__()
        self.config = config
        self._naming: Tensor
        self.register_buffer("_naming", _words_of(word_concepts, config.concepts), persistent=False)
        width = config.width
        self.words = nn.Embedding(config.vocabulary, width)
        self.places = nn.Embedding(config.max_tokens, width)
        self.concepts = nn.Embedding(config.concepts, width)
        self.probability = nn.Linear(3, width)
        self.layout = nn.Linear(LAYOUT_FEATURES, width)
        self.lines = nn.Linear(LINE_FEATURES, width)
        self.line_places = nn.Embedding(config.max_lines, width)
        self.line_words = nn.Linear(width, width)
        self.slot = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.pointer_query = nn.Linear(width, width)
        self.pointer_key = (
            nn.Linear(width, width) if config.copying == "pointer" else nn.Embedding(config.max_lines, width)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        """GPT-2's: normal of .02, biases zero."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, memory: SlotMemory[Tensor], tokens: Tensor) -> Tensor:
        """tokens (n, t), the start token first -> logits (n, t, vocabulary + m)."""
        prefix, prefix_mask, line_embeddings = self._prefix(memory)
        n, p = prefix_mask.shape
        t = tokens.shape[1]
        x = torch.cat((prefix, self._embed(tokens, line_embeddings)), dim=1)
        mask = torch.zeros(n, p + t, p + t, dtype=torch.bool, device=tokens.device)
        mask[:, :, :p] = prefix_mask[:, None, :]
        mask[:, p:, p:] = torch.ones(t, t, dtype=torch.bool, device=tokens.device).tril()
        # A masked position attends to itself only: a row without any would be nan.
        mask |= torch.eye(p + t, dtype=torch.bool, device=tokens.device)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask[:, None])
        x = self.norm(x)
        m = memory.line_mask.shape[1]
        hidden = x[:, p:]
        return self._logits(hidden, self._keys(x[:, p - m : p]), memory.line_mask)

    def _prefix(self, memory: SlotMemory[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """(n, p, width), its mask (n, p), and the lines' embeddings (n, m, width); the lines come last
        in the prefix.
        """
        n, m = memory.line_mask.shape
        present = (memory.line_words > 0).float()
        words = (self.words(memory.line_words) * present[..., None]).sum(2)
        words = words / present.sum(2).clamp(min=1.0)[..., None]
        lines = self.lines(memory.line_features) + self.line_words(words) + self.line_places.weight[:m]
        seen = torch.cat((self._shown(memory), self.layout(memory.layout)[:, None]), dim=1)
        there = torch.ones(n, seen.shape[1], dtype=torch.bool, device=seen.device)
        return torch.cat((seen, lines), dim=1), torch.cat((there, memory.line_mask), dim=1), lines

    def _shown(self, memory: SlotMemory[Tensor]) -> Tensor:
        """(n, shown, width): a vector for each of the likeliest concepts."""
        p = memory.probabilities.clamp(1e-4, 1 - 1e-4)
        sure = self.probability(torch.stack((p, p.logit() / 4, p.sqrt()), dim=-1))
        ids = self._naming[memory.concepts]  # (n, shown, most words of a concept)
        named = (ids > 0).to(sure.dtype)
        words = (self.words(ids) * named[..., None]).sum(2) / named.sum(2).clamp(min=1.0)[..., None]
        return torch.as_tensor(words + self.concepts(memory.concepts) + sure)

    def _embed(self, tokens: Tensor, lines: Tensor) -> Tensor:
        """tokens (n, t) -> (n, t, width); a slot is the line's own vector."""
        vocabulary = self.config.vocabulary
        x = self.words(tokens.clamp(max=vocabulary - 1))
        if lines.shape[1]:
            index = (tokens - vocabulary).clamp(min=0)
            copied = lines.gather(1, index[..., None].expand(-1, -1, lines.shape[2])) + self.slot
            x = torch.where((tokens >= vocabulary)[..., None], copied, x)
        return torch.as_tensor(x + self.places.weight[: tokens.shape[1]])

    def _keys(self, lines: Tensor) -> Tensor:
        """lines (n, m, width), as the last layer has them -> what slots are compared with, alike."""
        if isinstance(self.pointer_key, nn.Embedding):
            return self.pointer_key.weight[: lines.shape[1]].expand_as(lines)
        return torch.as_tensor(self.pointer_key(lines))

    def _logits(self, hidden: Tensor, keys: Tensor, line_mask: Tensor) -> Tensor:
        """hidden (n, t, width), keys (n, m, width) -> (n, t, vocabulary + m)."""
        words = hidden @ self.words.weight.T
        pointers = self.pointer_query(hidden) @ keys.transpose(1, 2) / math.sqrt(self.config.width)
        return torch.cat((words, pointers.masked_fill(~line_mask[:, None], -torch.inf)), dim=-1)
