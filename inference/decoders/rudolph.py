"""RuDOLPH (Shonenkov et al. 2022): one transformer over a text, a picture's codes, and a text again.

A caption is the text on the right, after an empty left text and the picture. The likelihood of the picture
after a caption on the left says how well the caption fits it. Modules carry the names of the original's state
dict, so its files load without renaming.

Shapes: n pictures, l and r text places, p = side * side picture places, s = l + p + r, w the width, h heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.decoders.base import IGNORED, CaptionDecoder, register
from inference.encoders.base import Memory

PAD, UNK, BOS, EOS = 0, 1, 2, 3
Kind = Literal["row", "column", "convolution"]
_RELAX = (
    32.0  # CogView's PB-relax (Ding et al. 2021, section 2.4): scores are scaled down, shifted, scaled up
)


@dataclass(frozen=True, slots=True)
class RudolphConfig:
    """The defaults are RuDOLPH-350M's first edition.

    ``vocabulary`` and ``codes`` count the edition's extra tokens: 16448 and 8192 are the first edition's
    (16384 words and a padding word of its own for each of the 64 left places), 16832 and 8576 the second's,
    with 384 special ones in each.
    """

    vocabulary: int = 16448
    codes: int = 8192
    left: int = 64  # l
    right: int = 64  # r
    side: int = 16
    width: int = 1024  # w
    layers: int = 24
    heads: int = 16  # h
    kernel: int = 7  # of the convolution masks
    last_kernel: int = 9  # of the last layer's
    dropout: float = 0.1
    # What stands before the start token on the right: nothing in the first edition, whose start token is BOS;
    # BOS in the second, whose start token names the task.
    right_prompt: tuple[int, ...] = ()
    # What the left text holds, padding behind it; nothing when the meme project tuned the first edition.
    left_prompt: tuple[int, ...] = ()
    # Trained at all; the meme project trained embeddings, normalisation and head alone.
    train_attention: bool = False
    train_mlp: bool = False
    # How much the losses of left text, picture and right text count: those of the meme project. The original
    # was trained with 1, 7 and 1.
    loss_weights: tuple[float, float, float] = (0.01, 1.0, 7.0)


def layer_mask(kind: Kind, config: RudolphConfig, kernel: int = 0) -> Tensor:
    """(s, s), bool: True where a place (row) sees another (column).

    Everything sees all text before it, and the right text sees the whole picture; a picture place sees of the
    picture, itself included,

    * ``row``: the ``side`` places before it (one row's length);
    * ``column``: those above it in its column;
    * ``convolution``: those before it inside a window of ``kernel`` x ``kernel`` around it.
    """
    side, left = config.side, config.left
    places = side * side
    mask = torch.ones(left + places + config.right, left + places + config.right, dtype=torch.bool).tril()
    place = torch.arange(places)
    behind = place[:, None] - place[None, :]  # how far back the seen place lies
    if kind == "row":
        seen = behind <= side
    elif kind == "column":
        seen = behind % side == 0
    else:
        reach = kernel // 2
        row, column = place // side, place % side
        seen = ((row[:, None] - row).abs() <= reach) & ((column[:, None] - column).abs() <= reach)
    picture = slice(left, left + places)
    mask[picture, picture] &= seen
    return mask


def layer_kind(layer: int, layers: int) -> tuple[Kind, bool]:
    """(kind, whether it is the last layer's): row, column, row, convolution, and so on."""
    if layer % 4 == 1:
        return "column", False
    if layer == layers - 1:
        return "convolution", True
    return ("convolution", False) if layer % 4 == 3 else ("row", False)


class _Attention(nn.Module):
    def __init__(self, config: RudolphConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.attention_dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(config.width, config.width)
        self.output_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (n, t, w), ``mask`` (t, T), ``cache`` (n, 2, h, T - t, w / h) to (n, t, w), new cache."""
        n, t, width = x.shape
        q, k, v = self.query_key_value(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        cache = torch.cat([cache, torch.stack([k, v], 1)], 3)
        scores = (q / q.shape[-1] ** 0.5) @ cache[:, 0].transpose(-1, -2)
        scores = scores.masked_fill(~mask, -10_000.0) / _RELAX
        scores = (scores - scores.detach().amax((2, 3), keepdim=True)) * _RELAX
        mixed = self.attention_dropout(scores.softmax(-1)) @ cache[:, 1]
        y: Tensor = self.dense(mixed.transpose(1, 2).reshape(n, t, width))
        return self.output_dropout(y), cache


class _Mlp(nn.Module):
    def __init__(self, config: RudolphConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.width, 4 * config.width)
        self.dense_4h_to_h = nn.Linear(4 * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dense_4h_to_h(functional.gelu(self.dense_h_to_4h(x), approximate="tanh"))
        return torch.as_tensor(self.dropout(y))


class _Layer(nn.Module):
    """Normalisation before and after each half (CogView's sandwich)."""

    def __init__(self, config: RudolphConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.width)
        self.before_first_addition_layernorm = nn.LayerNorm(config.width)
        self.before_second_addition_layernorm = nn.LayerNorm(config.width)
        self.attention = _Attention(config)
        self.post_attention_layernorm = nn.LayerNorm(config.width)
        self.mlp = _Mlp(config)

    def forward(self, x: Tensor, mask: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        y, cache = self.attention(self.input_layernorm(x), mask, cache)
        x = x + self.before_first_addition_layernorm(y)
        y = self.mlp(self.post_attention_layernorm(x))
        return x + self.before_second_addition_layernorm(y), cache


class _Transformer(nn.Module):
    def __init__(self, config: RudolphConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.final_layernorm = nn.LayerNorm(config.width)
        self.kinds = [layer_kind(i, config.layers) for i in range(config.layers)]
        self.register_buffer("row_mask", layer_mask("row", config))
        self.register_buffer("col_mask", layer_mask("column", config))
        self.register_buffer("conv_mask", layer_mask("convolution", config, config.kernel))
        self.register_buffer("last_conv_mask", layer_mask("convolution", config, config.last_kernel))

    def mask(self, layer: int) -> Tensor:
        """(s, s) of one layer."""
        kind, last = self.kinds[layer]
        if kind == "convolution":
            return self.get_buffer("last_conv_mask" if last else "conv_mask")
        return self.get_buffer("row_mask" if kind == "row" else "col_mask")

    def forward(self, x: Tensor, caches: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        start = caches[0].shape[3]
        end = start + x.shape[1]
        grown = []
        for i, (layer, cache) in enumerate(zip(self.layers, caches, strict=True)):
            x, kept = layer(x, self.mask(i)[start:end, :end], cache)
            grown.append(kept)
        return self.final_layernorm(x), tuple(grown)


@dataclass(frozen=True, slots=True)
class RudolphState:
    """Dimension 0 of the caches is the batch."""

    caches: tuple[Tensor, ...]  # one a layer: (n, 2, h, t, w / h), keys and values


@register("rudolph", RudolphConfig)
class RudolphDecoder(CaptionDecoder):
    """``memory`` is the picture's codes (n, p), int64, as :mod:`inference.encoders.vqgan` yields them; or
    these and the left text of each picture (n, l), int64, in place of the config's ``left_prompt``.

    Logits are over the words and special tokens: V = vocabulary - left, without the left paddings.
    """

    @classmethod
    def vocabulary_for(cls, tokens: int, settings: Mapping[str, Any]) -> int:
        """The tokens, and a padding word of its own for each place of the left text."""
        return tokens + int(settings.get("left", RudolphConfig().left))

    def __init__(self, config: RudolphConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary - config.left
        width = config.width
        self.cells = config.side**2
        self.text_embeddings = nn.Embedding(config.vocabulary, width)
        self.image_embeddings = nn.Embedding(config.codes, width)
        self.l_text_pos_embeddings = nn.Embedding(config.left + 1, width)
        self.r_text_pos_embeddings = nn.Embedding(config.right + 1, width)
        self.image_row_embeddings = nn.Embedding(config.side, width)
        self.image_col_embeddings = nn.Embedding(config.side, width)
        for table in (
            self.l_text_pos_embeddings,
            self.r_text_pos_embeddings,
            self.image_row_embeddings,
            self.image_col_embeddings,
        ):
            nn.init.normal_(table.weight, std=0.02)
        self.to_logits = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.vocabulary + config.codes)
        )
        self.transformer = _Transformer(config)
        for name, parameter in self.named_parameters():
            if ".attention." in name:
                parameter.requires_grad_(config.train_attention)
            elif ".mlp." in name:
                parameter.requires_grad_(config.train_mlp)

    def left_text(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """See :class:`CaptionDecoder`: (n, l), behind the config's ``left_prompt``, cut to its places."""
        before = [token for token in self.config.left_prompt if token != EOS] or [BOS]
        room = self.config.left - len(before) - 1
        rows = [[*before, *text[: max(room, 0)], EOS][: self.config.left] for text in texts]
        return torch.tensor([[*row, *[PAD] * (self.config.left - len(row))] for row in rows])

    def places(self, seen: int) -> int:  # noqa: ARG002 - the picture has places of its own
        """See :class:`CaptionDecoder`."""
        return self.config.right - len(self.config.right_prompt)

    def _left(self, tokens: Tensor) -> Tensor:
        """(n, l) to (n, l, w): each padding is a word of its own, told by its place."""
        place = torch.arange(tokens.shape[1], device=tokens.device)
        own = place + self.config.vocabulary - self.config.left
        embedded = self.text_embeddings(torch.where(tokens == PAD, own, tokens))
        placed: Tensor = embedded + self.l_text_pos_embeddings(place)
        return placed

    def _picture(self, codes: Tensor) -> Tensor:
        place = torch.arange(codes.shape[1], device=codes.device)
        rows, columns = place // self.config.side, place % self.config.side
        lattice = self.image_row_embeddings(rows) + self.image_col_embeddings(columns)
        placed: Tensor = lattice + self.image_embeddings(codes)
        return placed

    def _right(self, tokens: Tensor, start: int) -> Tensor:
        if start + tokens.shape[1] > self.config.right:
            raise ValueError(
                f"The caption has {start + tokens.shape[1]} places, RuDOLPH has {self.config.right} for it: "
                "lower max_tokens."
            )
        place = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        placed: Tensor = self.text_embeddings(tokens) + self.r_text_pos_embeddings(place)
        return placed

    def _run(self, x: Tensor, caches: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embedded places (n, t, w) to all logits (n, t, vocabulary + codes) and the caches."""
        if caches is None:
            heads = self.config.heads
            caches = (x.new_empty(len(x), 2, heads, 0, x.shape[2] // heads),) * self.config.layers
        x = 0.1 * x + 0.9 * x.detach()  # embeddings learn ten times slower, for stability
        hidden, caches = self.transformer(x, caches)
        return self.to_logits(hidden), caches

    def _parts(self, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """Left text (n, l), codes (n, p) and what stands before the start token (n, 0 or more)."""
        codes, left = memory if isinstance(memory, tuple) and len(memory) == 2 else (memory, None)
        if isinstance(codes, tuple) or codes.dim() != 2 or codes.shape[1] != self.cells:
            raise TypeError(f"RuDOLPH needs {self.cells} codes a picture (n, p): choose the VQGAN encoder.")
        if left is None:
            prompt = self.config.left_prompt
            row = [*prompt, *[PAD] * (self.config.left - len(prompt))]
            left = torch.tensor(row, device=codes.device).expand(len(codes), -1)
        before = torch.tensor(self.config.right_prompt, dtype=torch.long, device=codes.device)
        return left, codes, before.expand(len(codes), -1)

    def _before(self, memory: Memory) -> Tensor:
        left, codes, before = self._parts(memory)
        return torch.cat([self._left(left), self._picture(codes), self._right(before, 0)], 1)

    def start(self, memory: Memory) -> RudolphState:
        """Runs the left text, the picture and what stands before the start token."""
        return RudolphState(self._run(self._before(memory))[1])

    def step(self, state: RudolphState, tokens: Tensor) -> tuple[Tensor, RudolphState]:
        """See :class:`CaptionDecoder`."""
        at = state.caches[0].shape[3] - self.config.left - self.cells
        logits, caches = self._run(self._right(tokens[:, None], at), state.caches)
        return logits[:, 0, : self.vocabulary], RudolphState(caches)

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """See :class:`CaptionDecoder`."""
        words = self._right(tokens, len(self.config.right_prompt))
        logits, _ = self._run(torch.cat([self._before(memory), words], 1))
        return logits[:, -tokens.shape[1] :, : self.vocabulary]

    def sequence(self, left: Tensor, codes: Tensor | None = None, right: Tensor | None = None) -> Tensor:
        """Logits of a whole sequence, as the original's forward gives them: (n, t, vocabulary + codes).

        ``left`` (n, l), ``codes`` (n, up to p), ``right`` (n, up to r), int64; a part needs those before it.
        """
        parts = [self._left(left)]
        if codes is not None:
            parts.append(self._picture(codes))
        if right is not None:
            parts.append(self._right(right, 0))
        return self._run(torch.cat(parts, 1))[0]

    def losses(
        self, left: Tensor, codes: Tensor, right: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean cross-entropies of the left text, of the picture, and of ``targets`` (n, t), int64: what
        follows each of the last t tokens of ``right``, or IGNORED."""
        size, ends = self.config.vocabulary, self.config.left + self.cells
        logits = self.sequence(left, codes, right).transpose(1, 2)
        own = torch.arange(left.shape[1], device=left.device) + size - self.config.left
        words = torch.where(left == PAD, own, left)
        return (
            # The last left place foretells the first code, which is no word: it is left out.
            functional.cross_entropy(logits[:, :size, : self.config.left - 1], words[:, 1:]),
            functional.cross_entropy(logits[:, size:, self.config.left : ends - 1], codes[:, 1:]),
            functional.cross_entropy(logits[:, :size, -targets.shape[1] :], targets, ignore_index=IGNORED),
        )

    def loss(self, memory: Memory, tokens: Tensor, targets: Tensor) -> Tensor:
        """See :class:`CaptionDecoder`: the three losses' mean, weighted by ``loss_weights``."""
        left, codes, before = self._parts(memory)
        text, picture, caption = self.losses(left, codes, torch.cat([before, tokens], 1), targets)
        one, two, three = self.config.loss_weights
        return (one * text + two * picture + three * caption) / (one + two + three)

    def fit(self, captions: Tensor, codes: Tensor) -> Tensor:
        """How likely the picture is with a caption on its left: (n,), the mean log-probability of a code.

        ``captions`` (n, l): BOS (and the task's token), words, EOS, padding; ``codes`` (n, p). The first code
        does not count, as in the original's re-ranking; nor do the second edition's special tokens, which
        stand behind the codes.
        """
        count = self.config.codes
        if self.config.right_prompt:
            count = 2 ** (count.bit_length() - 1)
        first = self.config.vocabulary
        logits = self.sequence(captions, codes)[:, self.config.left : -1, first : first + count]
        chosen = logits.log_softmax(-1).gather(2, codes[:, 1:, None])
        return chosen[:, :, 0].mean(1)
