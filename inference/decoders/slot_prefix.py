"""A small language model with what the picture shows and the lines read as its prefix, and slots that copy a
line.

The plan of ClipCap (Mokady et al. 2021, arXiv:2111.09734): a prefix of vectors made from the picture, then a
GPT (pre-norm transformer, tied output). The prefix here is one vector for each of the likeliest concepts of
the picture (as You et al. 2016, arXiv:1603.03925, feed detected words to the decoder), one for its layout and
one for each line read; the output distribution is extended by one entry a line, a pointer (Vinyals et al.
2015, arXiv:1506.03134) over the last layer's vectors of the lines. Prefix positions see one another both
ways, words see the prefix and the words before them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.reading.features import LAYOUT_FEATURES, LINE_FEATURES, MAX_LINES


@dataclass(frozen=True, slots=True)
class SlotPrefixConfig:
    """Sizes. ``concepts`` are told apart, the ``shown`` likeliest of a picture stand in the prefix.

    ``copying``: a ``pointer`` compares with the lines' own vectors; ``slots`` are words of the vocabulary:
    the first line, the second one, whatever stands there.
    """

    vocabulary: int
    concepts: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    shown: int = 16
    max_lines: int = MAX_LINES
    max_tokens: int = 192
    dropout: float = 0.2
    copying: Literal["pointer", "slots"] = "pointer"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SlotMemory:
    """What is known of n pictures, m lines at most (m may be 0), w words a line at most.

    ``concepts`` (n, shown) numbers of the likeliest concepts, likeliest first, and ``probabilities``
    (n, shown) 0..1; ``layout`` (n, LAYOUT_FEATURES); ``line_features`` (n, m, LINE_FEATURES); ``line_words``
    (n, m, w) vocabulary ids, 0 = none; ``line_mask`` (n, m), True where there is a line.
    """

    concepts: Tensor
    probabilities: Tensor
    layout: Tensor
    line_features: Tensor
    line_words: Tensor
    line_mask: Tensor


class _Attention(nn.Module):
    def __init__(self, config: SlotPrefixConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (n, t, width), mask (n, 1, t, T) True = may look, past (n, 2, heads, T - t, d) -> the same
        with T.
        """
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        present = torch.stack((k, v), dim=1)  # (n, 2, heads, t, d)
        if past is not None:
            present = torch.cat((past, present), dim=3)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(
            q, present[:, 0], present[:, 1], attn_mask=mask, dropout_p=dropout
        )
        return self.out(y.transpose(1, 2).reshape(n, t, width)), present


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

    def forward(self, x: Tensor, mask: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        attended, present = self.attention(self.norm_1(x), mask, past)
        x = x + self.dropout(attended)
        return x + self.dropout(self.mlp(self.norm_2(x))), present


def _words_of(word_concepts: Tensor, concepts: int) -> Tensor:
    """(concepts, most) ids of the words that name each concept, 0 where there are fewer."""
    words: list[list[int]] = [[] for _ in range(concepts)]
    for word, concept in enumerate(word_concepts.tolist()):
        if concept >= 0:
            words[concept].append(word)
    most = max((len(own) for own in words), default=0) or 1
    return torch.tensor([own + [0] * (most - len(own)) for own in words]).reshape(concepts, most)


class SlotPrefixDecoder(nn.Module):
    """``start``/``step`` for decoding, ``forward`` with the whole sentence for training.

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

    # --- training ---

    def forward(self, memory: SlotMemory, tokens: Tensor) -> Tensor:
        """tokens (n, t), the start token first -> logits (n, t, vocabulary + m)."""
        prefix, prefix_mask, line_embeddings = self._prefix(memory)
        n, p = prefix_mask.shape
        t = tokens.shape[1]
        x = torch.cat((prefix, self._embed(tokens, line_embeddings, 0)), dim=1)
        mask = torch.zeros(n, p + t, p + t, dtype=torch.bool, device=tokens.device)
        mask[:, :, :p] = prefix_mask[:, None, :]
        mask[:, p:, p:] = torch.ones(t, t, dtype=torch.bool, device=tokens.device).tril()
        # A masked position attends to itself only: a row without any would be nan.
        mask |= torch.eye(p + t, dtype=torch.bool, device=tokens.device)
        x = self.dropout(x)
        for block in self.blocks:
            x, _ = block(x, mask[:, None], None)
        x = self.norm(x)
        m = memory.line_mask.shape[1]
        hidden = x[:, p:]
        return self._logits(hidden, self._keys(x[:, p - m : p]), memory.line_mask)

    def _prefix(self, memory: SlotMemory) -> tuple[Tensor, Tensor, Tensor]:
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

    def _shown(self, memory: SlotMemory) -> Tensor:
        """(n, shown, width): a vector for each of the likeliest concepts."""
        p = memory.probabilities.clamp(1e-4, 1 - 1e-4)
        sure = self.probability(torch.stack((p, p.logit() / 4, p.sqrt()), dim=-1))
        ids = self._naming[memory.concepts]  # (n, shown, most words of a concept)
        named = (ids > 0).to(sure.dtype)
        words = (self.words(ids) * named[..., None]).sum(2) / named.sum(2).clamp(min=1.0)[..., None]
        return torch.as_tensor(words + self.concepts(memory.concepts) + sure)

    def _embed(self, tokens: Tensor, lines: Tensor, start: int) -> Tensor:
        """tokens (n, t) at places start.. -> (n, t, width); a slot is the line's own vector."""
        vocabulary = self.config.vocabulary
        x = self.words(tokens.clamp(max=vocabulary - 1))
        if lines.shape[1]:
            index = (tokens - vocabulary).clamp(min=0)
            copied = lines.gather(1, index[..., None].expand(-1, -1, lines.shape[2])) + self.slot
            x = torch.where((tokens >= vocabulary)[..., None], copied, x)
        return torch.as_tensor(x + self.places.weight[start : start + tokens.shape[1]])

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

    # --- decoding ---

    def start(self, memory: SlotMemory) -> dict[str, Any]:
        """Runs the prefix once; every tensor of the state has the batch first."""
        prefix, prefix_mask, lines = self._prefix(memory)
        n, p = prefix_mask.shape
        mask = prefix_mask[:, None, :].expand(n, p, p) | torch.eye(p, dtype=torch.bool, device=prefix.device)
        x, past = prefix, []
        for block in self.blocks:
            x, present = block(x, mask[:, None], None)
            past.append(present)
        x = self.norm(x)
        keys = self._keys(x[:, p - lines.shape[1] :])
        return {
            "past": past,
            "mask": prefix_mask,
            "lines": lines,
            "line_mask": memory.line_mask,
            "keys": keys,
            "place": torch.zeros(n, dtype=torch.long, device=prefix.device),
        }

    def step(self, state: dict[str, Any], tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """tokens (n,) -> logits (n, vocabulary + m) and the state after them."""
        place = int(state["place"][0])
        x = self._embed(tokens[:, None], state["lines"], place)
        mask = torch.cat((state["mask"], torch.ones_like(state["mask"][:, :1])), dim=1)
        past = []
        for block, before in zip(self.blocks, state["past"], strict=True):
            x, present = block(x, mask[:, None, None], before)
            past.append(present)
        hidden = self.norm(x)
        logits = self._logits(hidden, state["keys"], state["line_mask"])[:, 0]
        return logits, {**state, "past": past, "mask": mask, "place": state["place"] + 1}
