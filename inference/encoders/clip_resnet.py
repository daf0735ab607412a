"""The convolutional tower of OpenAI's CLIP (Radford et al. 2021), RN50 to RN50x64: a ResNet with a stem of
three convolutions, average pooling where others have strides, and attention in place of the last mean.

Modules carry the names of the original's state dict, so its files load without renaming.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.encoders.base import Encoder, register
from inference.encoders.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

_EXPANSION = 4
_STRIDE = 32  # pixels a place of the last map


def clip_preprocessing(resolution: int) -> Preprocessing:
    """Of OpenAI's CLIP: the middle square, bicubic."""
    return Preprocessing(resolution, "crop", mean=CLIP_MEAN, std=CLIP_STD, filter="bicubic")


class Bottleneck(nn.Module):
    """(n, entry, h, w) to (n, 4 * width, h / stride, w / stride)."""

    def __init__(self, entry: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entry, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, width * _EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * _EXPANSION)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or entry != width * _EXPANSION:
            convolution = nn.Conv2d(entry, width * _EXPANSION, 1, bias=False)
            parts = {"pool": nn.AvgPool2d(stride), "0": convolution, "1": nn.BatchNorm2d(width * _EXPANSION)}
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self.pool(y)))
        return functional.relu(y + self.downsample(x))


class AttentionPool(nn.Module):
    """A map (n, d, h, w) to (n, out): its mean asks all its places and itself."""

    def __init__(self, places: int, width: int, heads: int, out: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(places + 1, width) / width**0.5)
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding
        asked = (self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in asked)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        pooled: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(1))
        return pooled


class ModifiedResNet(nn.Module):
    """Pixels (n, 3, resolution, resolution) to an embedding (n, embed_dim), not normalised."""

    def __init__(
        self, layers: Sequence[int], width: int, heads: int, resolution: int, embed_dim: int
    ) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        entry = width
        for number, blocks in enumerate(layers, 1):
            inner = width * 2 ** (number - 1)
            row = []
            for block in range(blocks):
                row.append(Bottleneck(entry, inner, 2 if number > 1 and block == 0 else 1))
                entry = inner * _EXPANSION
            self.add_module(f"layer{number}", nn.Sequential(*row))
        self.stages = len(layers)
        self.attnpool = AttentionPool((resolution // _STRIDE) ** 2, entry, heads, embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(pixels)))
        x = functional.relu(self.bn2(self.conv2(x)))
        x = functional.avg_pool2d(functional.relu(self.bn3(self.conv3(x))), 2)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        pooled: Tensor = self.attnpool(x)
        return pooled


@register("clip_resnet")
class ClipResNetEncoder(Encoder):
    """``global`` (n, embed_dim), L2-normalised when ``normalise``; frozen. The defaults are RN50x4's."""

    def __init__(
        self,
        *,
        normalise: bool = False,
        preprocessing: Preprocessing | None = None,
        layers: Sequence[int] = (4, 6, 10, 6),
        width: int = 80,
        heads: int = 40,
        image_resolution: int = 288,
        embed_dim: int = 640,
    ) -> None:
        super().__init__()
        self.yields = "global"
        self.normalise = normalise
        self.preprocessing = preprocessing or clip_preprocessing(image_resolution)
        self.widths = (embed_dim,)
        self.positions = 1
        self.visual = ModifiedResNet(layers, width, heads, image_resolution, embed_dim)
        self.freeze(self.visual)

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels`` (n, 3, resolution, resolution). See the class."""
        features: Tensor = self.visual(pixels)
        return functional.normalize(features, dim=-1) if self.normalise else features
