"""The picture as words of a codebook: the encoder half of RuDOLPH's Gumbel-quantised VQGAN.

Esser et al. 2021. Modules carry the names of the original's state dict (taming-transformers), so its files
load without renaming.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.encoders.base import Encoder, register
from inference.encoders.preprocessing import Preprocessing

_HALF = (0.5, 0.5, 0.5)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, channels), channels, eps=1e-6)


class _ResnetBlock(nn.Module):
    def __init__(self, entry: int, channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(entry)
        self.conv1 = nn.Conv2d(entry, channels, 3, padding=1)
        self.norm2 = _norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.widens = entry != channels
        if self.widens:
            self.nin_shortcut = nn.Conv2d(entry, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.silu(self.norm1(x)))
        y = self.conv2(functional.silu(self.norm2(y)))
        total: Tensor = y + (self.nin_shortcut(x) if self.widens else x)
        return total


class _AttentionBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + torch.as_tensor(self.proj_out(mixed))


class _Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return y


class _Level(nn.Module):
    def __init__(self, entry: int, channels: int, blocks: int, *, attends: bool, last: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(_ResnetBlock(channels if i else entry, channels) for i in range(blocks))
        self.attn = nn.ModuleList(_AttentionBlock(channels) for _ in range(blocks if attends else 0))
        self.last = last
        if not last:
            self.downsample = _Downsample(channels)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        y: Tensor = x if self.last else self.downsample(x)
        return y


class _Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = _ResnetBlock(channels, channels)
        self.attn_1 = _AttentionBlock(channels)
        self.block_2 = _ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return y


class _Convolutions(nn.Module):
    def __init__(self, channels: int, multipliers: Sequence[int], blocks: int, depth: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        widths = [channels, *(channels * factor for factor in multipliers)]
        last = len(multipliers) - 1
        self.down = nn.ModuleList(
            # Attention stands at the coarsest level, as the published model's config has it.
            _Level(widths[i], widths[i + 1], blocks, attends=i == last, last=i == last)
            for i in range(len(multipliers))
        )
        self.mid = _Middle(widths[-1])
        self.norm_out = _norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], depth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        y: Tensor = self.conv_out(functional.silu(self.norm_out(self.mid(x))))
        return y


class _Quantiser(nn.Module):
    def __init__(self, depth: int, codes: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(depth, codes, 1)
        self.embed = nn.Embedding(codes, depth)


@register("vqgan")
class VqganEncoder(Encoder):
    """Yields ``codes``: (n, p) int64, the number of the likeliest codeword at each place, row by row.

    The original drew them with noise (a Gumbel softmax at temperature 1); here a picture always has the same
    ones. All of it is frozen.

    The picture is squashed: 128 pixels give the 16 x 16 places of RuDOLPH-350M.
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 1, 2, 4),
        blocks: int = 2,
        depth: int = 256,
        codes: int = 8192,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.yields = "codes"
        self.preprocessing = preprocessing or Preprocessing(128, mean=_HALF, std=_HALF)
        self.widths = (codes,)
        self.positions = (self.preprocessing.size // 2 ** (len(multipliers) - 1)) ** 2
        self.encoder = _Convolutions(channels, multipliers, blocks, depth)
        self.quant_conv = nn.Conv2d(depth, depth, 1)
        self.quantize = _Quantiser(depth, codes)
        self.freeze(self.encoder, self.quant_conv, self.quantize)

    def logits(self, pixels: Tensor) -> Tensor:
        """Scores of every codeword at every place: (n, codes, side, side)."""
        scores: Tensor = self.quantize.proj(self.quant_conv(self.encoder(pixels)))
        return scores

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels`` (n, 3, size, size), normalised to -1..1, to (n, p), int64."""
        with torch.no_grad():
            return self.logits(pixels).argmax(1).flatten(1)
