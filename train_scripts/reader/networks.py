"""The two networks of the reader, in the architecture of PP-OCRv6 (PaddleOCR, Apache-2.0) after its branches
were folded: one finds text (DBNet, arXiv:1911.08947), one reads a line (SVTR with CTC, arXiv:2205.00159).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTH = 120
_HEADS = 8
_BLOCK = 16  # channels that ONNX Runtime keeps together: it rearranges what is no whole blocks at each layer


class _SqueezeExcite(nn.Module):
    """Channels weighted by what the whole picture holds; ``slope`` is the hard sigmoid's."""

    def __init__(self, channels: int, slope: float = 1 / 6) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.slope = slope

    def weights(self, values: Tensor) -> Tensor:
        """(n, channels, 1, 1), each 0..1."""
        pooled = functional.relu(self.reduce(functional.adaptive_avg_pool2d(values, 1)))
        return functional.hardsigmoid(6 * self.slope * self.expand(pooled))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.weights(values)


class _Block(nn.Module):
    """Depthwise 3 x 3, then two 1 x 1 with a GELU between; a residual where the width stays."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: tuple[int, int] = (1, 1), excite: bool = False
    ) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
        self.excite = _SqueezeExcite(inputs) if excite else nn.Identity()
        hidden = 2 * inputs if inputs == outputs else outputs
        self.up = nn.Conv2d(inputs, hidden, 1)
        self.down = nn.Conv2d(hidden, outputs, 1)
        self.residual = inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        values = self.excite(self.depthwise(values))
        mixed: Tensor = self.down(functional.gelu(self.up(values)))
        return values + mixed if self.residual else mixed


class _Stem(nn.Module):
    """(n, 3, h, w) -> (n, channels, h / 4, w / 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.first = nn.Conv2d(3, half, 3, 2, 1)
        self.narrow = nn.Conv2d(half, half // 2, 2)
        self.widen = nn.Conv2d(half // 2, half, 2)
        self.join = nn.Conv2d(channels, half, 3, 2, 1)
        self.last = nn.Conv2d(half, channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        values = functional.relu(_in_blocks(self.first, pixels))
        pooled = functional.max_pool2d(_pad(values), 2, 1)
        values = functional.relu(_in_blocks(self.narrow, _pad(values)))
        values = functional.relu(_in_blocks(self.widen, _pad(values)))
        # `join` of both side by side, which are the network's largest values: they need not be copied there.
        left, right = self.join.weight.chunk(2, dim=1)
        joined = functional.conv2d(pooled, _filled(left, pooled), self.join.bias, 2, 1)
        joined = joined + functional.conv2d(values, _filled(right, values), None, 2, 1)
        return functional.relu(self.last(functional.relu(joined)))


def _pad(values: Tensor) -> Tensor:
    return functional.pad(values, (0, 1, 0, 1))


def _filled(weight: Tensor, values: Tensor, more: int = 0) -> Tensor:
    """A convolution's weight for ``values`` that have channels of zeros behind its own, and with ``more`` of
    them behind its outputs.
    """
    behind = values.shape[1] - weight.shape[1]
    return functional.pad(weight, (0, 0, 0, 0, 0, behind, 0, more)) if behind or more else weight


def _in_blocks(layer: nn.Conv2d, values: Tensor) -> Tensor:
    """What the layer makes of values, with or without channels of zeros behind its own; it adds such too."""
    more = -layer.out_channels % _BLOCK
    bias = functional.pad(layer.bias, (0, more)) if more and layer.bias is not None else layer.bias
    return functional.conv2d(values, _filled(layer.weight, values, more), bias, layer.stride, layer.padding)


class _Lateral(nn.Module):
    """A convolution and what its own excitation adds."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.excite = _SqueezeExcite(outputs, slope=0.2)

    def forward(self, values: Tensor) -> Tensor:
        projected: Tensor = self.project(values)
        return projected * (1 + self.excite.weights(projected))  # each channel once more, as it is weighted


class TextDetector(nn.Module):
    """Where print stands: (n, 3, h, w), h and w multiples of 32, values -1..1, blue first ->
    (n, h, w), the probability of each pixel to be the core of a text line.
    """

    def __init__(self) -> None:
        super().__init__()
        down = (2, 2)
        self.stem = _Stem(48)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_Block(48, 48, excite=True), _Block(48, 48)),
                nn.Sequential(_Block(48, 96, stride=down), _Block(96, 96, excite=True), _Block(96, 96)),
                nn.Sequential(
                    _Block(96, 192, stride=down),
                    _Block(192, 192, excite=True),
                    _Block(192, 192),
                    _Block(192, 192, excite=True),
                    _Block(192, 192),
                ),
                nn.Sequential(_Block(192, 384, stride=down), _Block(384, 384, excite=True), _Block(384, 384)),
            ]
        )
        self.lateral = nn.ModuleList([_Lateral(width, 96) for width in (384, 192, 96, 48)])
        self.large = nn.ModuleList([nn.Conv2d(96, 96, 7, padding=3, groups=96) for _ in range(4)])
        self.narrow = nn.ModuleList([_Lateral(96, 24) for _ in range(4)])
        self.smooth = nn.Conv2d(96, 24, 3, padding=1)
        self.enlarge = nn.ConvTranspose2d(24, 24, 2, 2)
        self.to_map = nn.ConvTranspose2d(24, 1, 2, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        values = self.stem(pixels)
        levels = []
        for stage in self.stages:
            values = stage(values)
            levels.append(values)
        merged: list[Tensor] = []
        for lateral, level in zip(self.lateral, reversed(levels), strict=True):
            own: Tensor = lateral(level)
            merged.append(own + _enlarged(merged[-1], 2) if merged else own)
        narrow = [
            _enlarged(narrow(large(level)), factor)
            for narrow, large, level, factor in zip(
                self.narrow, self.large, merged, (8, 4, 2, 1), strict=True
            )
        ]
        values = functional.relu(self.smooth(torch.cat(narrow, dim=1)))
        values = self.to_map(functional.relu(self.enlarge(values)))
        return torch.sigmoid(values.float()).squeeze(1)


def _enlarged(values: Tensor, factor: int) -> Tensor:
    return values if factor == 1 else functional.interpolate(values, scale_factor=factor, mode="nearest")


class _Mixer(nn.Module):
    """A transformer layer, normalised first, over the steps of a line."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH)
        self.query_key_value = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.out = nn.Linear(_WIDTH, _WIDTH)
        self.norm_wide = nn.LayerNorm(_WIDTH)
        self.widen = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.narrow = nn.Linear(2 * _WIDTH, _WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        count, length, _ = steps.shape
        packed = self.query_key_value(self.norm(steps)).view(count, length, 3, _HEADS, _WIDTH // _HEADS)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        steps = steps + self.dropout(self.out(seen.transpose(1, 2).reshape(count, length, _WIDTH)))
        wide = functional.silu(self.widen(self.norm_wide(steps)))
        mixed: Tensor = self.dropout(self.narrow(wide))
        return steps + mixed


def _convolution(inputs: int, *, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, _WIDTH, (1, kernel), padding=(0, kernel // 2), groups=groups, bias=False),
        nn.BatchNorm2d(_WIDTH),
        nn.SiLU(),
    )


class LineRecognizer(nn.Module):
    """What a line says: (n, 3, 48, w), values -1..1, blue first -> logits (n, w / 8, classes); class 0 is
    CTC's blank.
    """

    FROZEN = 3  # blocks that training leaves as they are, besides the stem: strokes look alike everywhere

    def __init__(self, classes: int, *, dropout: float = 0.05) -> None:
        super().__init__()
        flat = (2, 1)  # lines get lower, not shorter
        self.stem = _Stem(96)
        self.blocks = nn.Sequential(
            _Block(96, 96, excite=True),
            _Block(96, 96),
            _Block(96, 96),
            _Block(96, 192, stride=flat),
            *(_Block(192, 192, excite=number % 2 == 0) for number in range(6)),
            _Block(192, 384, stride=flat),
            _Block(384, 384, excite=True),
            _Block(384, 384),
        )
        self.shortcut = _convolution(384)
        self.project = _convolution(384)
        self.local = _convolution(_WIDTH, kernel=7, groups=_WIDTH)
        self.mixers = nn.ModuleList([_Mixer(dropout) for _ in range(2)])
        self.norm = nn.LayerNorm(_WIDTH, eps=1e-6)
        self.head = nn.Linear(_WIDTH, classes)

    def early(self, pixels: Tensor) -> Tensor:
        """The part that training leaves as it is."""
        return torch.as_tensor(self.blocks[: self.FROZEN](self.stem(pixels)))

    def late(self, values: Tensor) -> Tensor:
        """What :meth:`early` gave -> logits."""
        values = functional.avg_pool2d(self.blocks[self.FROZEN :](values), (3, 2))
        shortcut = self.shortcut(values)
        values = self.project(values)
        steps = (values + self.local(values)).flatten(2).transpose(1, 2)
        for mixer in self.mixers:
            steps = mixer(steps)
        return torch.as_tensor(self.head(self.norm(steps) + shortcut.flatten(2).transpose(1, 2)))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.late(self.early(pixels))
