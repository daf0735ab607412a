"""From what an encoder saw to the first positions of a language model.

The first two are ClipCap's (Mokady et al. 2021, arXiv:2111.09734); their modules carry the names of its
files. Shapes: n pictures, k positions of w numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.encoders.base import Memory


class MlpMapper(nn.Module):
    """One vector (n, d) to (n, k, w): Linear to k * w / 2, tanh, Linear to k * w."""

    def __init__(self, picture: int, positions: int, width: int) -> None:
        super().__init__()
        self.positions = positions
        inner = positions * width // 2
        self.model = nn.Sequential(nn.Linear(picture, inner), nn.Tanh(), nn.Linear(inner, positions * width))

    def forward(self, memory: Memory) -> Tensor:
        """``memory`` (n, d)."""
        vector = _tensor(memory, 2)
        mapped: Tensor = self.model(vector)
        return mapped.view(len(vector), self.positions, -1)


class LinearMapper(nn.Module):
    """One vector (n, d) to (n, k, w) by one Linear, which ClipCap's notebooks had for long prefixes."""

    def __init__(self, picture: int, positions: int, width: int) -> None:
        super().__init__()
        self.positions = positions
        self.linear = nn.Linear(picture, positions * width)

    def forward(self, memory: Memory) -> Tensor:
        """``memory`` (n, d)."""
        vector = _tensor(memory, 2)
        mapped: Tensor = self.linear(vector)
        return mapped.view(len(vector), self.positions, -1)


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q = self.to_queries(x).view(n, t, self.heads, -1).transpose(1, 2)
        k, v = self.to_keys_values(x).view(n, t, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        y: Tensor = self.project(mixed.transpose(1, 2).reshape(n, t, width))
        return y


class _Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(functional.relu(self.fc1(x)))
        return y


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = _SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width, int(width * ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.as_tensor(self.attn(self.norm1(x)))
        return x + torch.as_tensor(self.mlp(self.norm2(x)))


class _Stack(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, ratio: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads, ratio) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class TransformerMapper(nn.Module):
    """One vector (n, d) to (n, k, w): the picture becomes ``clip_length`` positions, k learned constants
    stand behind them, and a transformer in which all see all turns the constants into the prefix."""

    def __init__(
        self,
        picture: int,
        positions: int,
        width: int,
        *,
        clip_length: int,
        layers: int,
        heads: int,
        ratio: float,
    ) -> None:
        super().__init__()
        self.clip_length = clip_length
        self.linear = nn.Linear(picture, clip_length * width)
        self.prefix_const = nn.Parameter(torch.randn(positions, width))
        self.transformer = _Stack(width, heads, layers, ratio)

    def forward(self, memory: Memory) -> Tensor:
        """``memory`` (n, d)."""
        vector = _tensor(memory, 2)
        n = len(vector)
        picture = self.linear(vector).view(n, self.clip_length, -1)
        mixed: Tensor = self.transformer(torch.cat([picture, self.prefix_const.expand(n, -1, -1)], 1))
        return mixed[:, self.clip_length :]


class GridMapper(nn.Module):
    """A grid (n, p, d) to (n, p, w): one Linear for all places."""

    def __init__(self, picture: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(picture, width)

    def forward(self, memory: Memory) -> Tensor:
        """``memory`` (n, p, d)."""
        mapped: Tensor = self.linear(_tensor(memory, 3))
        return mapped


class LayersMapper(nn.Module):
    """Vectors of several layers, a tuple of (n, d_i), to (n, layers, w): a Linear for each."""

    def __init__(self, pictures: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(picture, width) for picture in pictures)

    def forward(self, memory: Memory) -> Tensor:
        """``memory`` shallow to deep, as the encoder yields it."""
        if not isinstance(memory, tuple) or len(memory) != len(self.linears):
            raise TypeError(f"This prefix needs {len(self.linears)} layers' vectors: choose such an encoder.")
        return torch.stack([linear(level) for linear, level in zip(self.linears, memory, strict=True)], 1)


def _tensor(memory: Memory, dimensions: int) -> Tensor:
    if isinstance(memory, tuple) or memory.dim() != dimensions:
        wanted = "one vector a picture (n, d)" if dimensions == 2 else "a grid (n, p, d)"
        raise TypeError(f"This prefix needs {wanted}: choose an encoder that yields it.")
    return memory
