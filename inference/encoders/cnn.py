"""torchvision's convolutional networks without their classifiers, and the pyramid of Faster R-CNN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from inference.common.interpreter import PYTHON
from inference.encoders.base import Encoder, Memory, Yields, register
from inference.encoders.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

_IMAGENET = Preprocessing(224, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True, slots=True)
class _Architecture:
    """A backbone as a row of stages, shallow to deep: each is the names of its modules, run in order."""

    model: str  # torchvision's name, of the model and of its weights
    heads: tuple[str, ...]  # what is taken off
    stages: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]  # channels after each stage
    last_relu: bool = False
    normalised: Preprocessing = _IMAGENET


def _resnet(model: str, deepest: int) -> _Architecture:
    stages = (("conv1", "bn1", "relu", "maxpool"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return _Architecture(model, ("fc",), stages, (64, deepest // 8, deepest // 4, deepest // 2, deepest))


_ARCHITECTURES: dict[str, _Architecture] = {
    "resnet34": _resnet("resnet34", 512),
    "resnet50": _resnet("resnet50", 2048),
    "resnet101": _resnet("resnet101", 2048),
    "resnext101": _resnet("resnext101_32x8d", 2048),
    "densenet121": _Architecture(
        "densenet121",
        ("classifier",),
        (
            ("features.conv0", "features.norm0", "features.relu0", "features.pool0"),
            ("features.denseblock1", "features.transition1"),
            ("features.denseblock2", "features.transition2"),
            ("features.denseblock3", "features.transition3"),
            ("features.denseblock4", "features.norm5"),
        ),
        (64, 128, 256, 512, 1024),
        last_relu=True,
    ),
    "inception_v3": _Architecture(
        "inception_v3",
        ("fc", "dropout"),
        (
            ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
            ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
            ("Mixed_5b", "Mixed_5c", "Mixed_5d"),
            ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
            ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
        ),
        (64, 192, 288, 768, 2048),
        # torchvision trains it on ImageNet's normalisation and undoes that inside (transform_input); the two
        # together are this one.
        normalised=Preprocessing(size=299, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
    "mobilenet_v3_small": _Architecture(
        "mobilenet_v3_small",
        ("classifier",),
        (
            ("features.0",),
            ("features.1",),
            ("features.2", "features.3"),
            tuple(f"features.{i}" for i in range(4, 9)),
            tuple(f"features.{i}" for i in range(9, 13)),
        ),
        (16, 16, 24, 48, 576),
    ),
}


class ConvolutionalEncoder(Encoder):
    """One of torchvision's classifiers up to its last convolution.

    ``yields``: ``global`` (the mean over places), ``grid``, or ``layers`` (the mean after each of the last
    ``layers`` stages). ``trainable_stages`` of the five stages, counted from the deepest, are trained; the
    rest is frozen. ``weights`` names the member of torchvision's enum that :func:`load_torchvision` reads:
    the originals used IMAGENET1K_V1. ``grid_side`` averages the grid to grid_side x grid_side places (0: as
    it is).
    """

    def __init__(
        self,
        architecture: str,
        *,
        yields: Yields = "global",
        layers: int = 4,
        grid_side: int = 0,
        trainable_stages: int = 0,
        weights: str | None = "IMAGENET1K_V1",
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        if architecture not in _ARCHITECTURES:
            raise ValueError(f"Unknown network {architecture!r}: choose one of {', '.join(_ARCHITECTURES)}.")
        plan = _ARCHITECTURES[architecture]
        depth = len(plan.stages)
        if not 0 <= trainable_stages <= depth or not 1 <= layers <= depth:
            raise ValueError(f"{architecture} has {depth} stages: layers and trainable_stages must fit.")
        self.architecture = architecture
        self.weights = weights
        self.plan = plan
        self.yields = yields
        self.layers = layers
        self.grid_side = grid_side
        self.preprocessing = preprocessing or plan.normalised
        self.backbone = _backbone(plan)
        self.freeze(*self._modules_of(plan.stages[: depth - trainable_stages]))
        if yields == "layers":
            self.widths = plan.widths[-layers:]
            self.positions = layers
        else:
            self.widths = plan.widths[-1:]
            side = grid_side or self._side()
            self.positions = side * side if yields == "grid" else 1

    def _modules_of(self, stages: tuple[tuple[str, ...], ...]) -> list[nn.Module]:
        return [self.backbone.get_submodule(name) for stage in stages for name in stage]

    def _side(self) -> int:
        """Places along one side of the deepest grid, found by running shapes through the network."""
        with torch.device("meta"):
            twin = _backbone(self.plan).eval()
            x = torch.empty(1, 3, self.preprocessing.size, self.preprocessing.size)
        for stage in self.plan.stages:
            for name in stage:
                x = twin.get_submodule(name)(x)
        return int(x.shape[-1])

    def forward(self, pixels: Tensor) -> Memory:
        """``pixels`` (n, 3, h, w). See :class:`Encoder`."""
        x = pixels
        maps: list[Tensor] = []
        for stage in self.plan.stages:
            for name in stage:
                x = self.backbone.get_submodule(name)(x)
            maps.append(x)
        if self.plan.last_relu:
            maps[-1] = functional.relu(maps[-1])
        if self.yields == "layers":
            return tuple(level.mean((2, 3)) for level in maps[-self.layers :])
        if self.yields == "global":
            return maps[-1].mean((2, 3))
        grid = maps[-1]
        if self.grid_side:
            grid = functional.adaptive_avg_pool2d(grid, self.grid_side)
        return grid.flatten(2).transpose(1, 2)


def _backbone(plan: _Architecture) -> nn.Module:
    extra: dict[str, Any] = {}
    if plan.model == "inception_v3":
        extra = {"aux_logits": False, "transform_input": False, "init_weights": False}
    backbone: nn.Module = torchvision.models.get_model(plan.model, weights=None, **extra)
    for head in plan.heads:
        setattr(backbone, head, nn.Identity())
    return backbone


class FeaturePyramidEncoder(Encoder):
    """The feature pyramid (FPN) of torchvision's Faster R-CNN ResNet-50: its maps have 256 channels each.

    ``level`` names the map: ``pool`` is the coarsest (stride 64), ``3`` has stride 32, ... ``0`` stride 4.
    ``flatten``: the one vector is not the mean over places but all of them, channel by channel. All of it is
    frozen unless ``trainable``.
    """

    def __init__(
        self,
        *,
        yields: Literal["global", "grid"] = "global",
        level: Literal["0", "1", "2", "3", "pool"] = "pool",
        flatten: bool = False,
        trainable: bool = False,
        weights: str | None = "COCO_V1",
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.yields = yields
        self.level = level
        self.flatten = flatten
        self.weights = weights
        # torchvision's detector scales a picture to 800 pixels; its caption model saw 224, as classifiers do.
        self.preprocessing = preprocessing or _IMAGENET
        stride = 64 if level == "pool" else 4 * 2 ** int(level)
        side = -(-self.preprocessing.size // stride)
        self.positions = side * side if yields == "grid" else 1
        self.widths = (256 * side * side if flatten and yields == "global" else 256,)
        detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        self.backbone: nn.Module = detector.backbone
        if not trainable:
            self.freeze(self.backbone)

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels`` (n, 3, h, w) to (n, 256), (n, 256 * p) or (n, p, 256)."""
        level: Tensor = self.backbone(pixels)[self.level]
        if self.yields == "global":
            return level.flatten(1) if self.flatten else level.mean((2, 3))
        return level.flatten(2).transpose(1, 2)


for _name in _ARCHITECTURES:
    register(_name)(partial(ConvolutionalEncoder, _name))
register("fasterrcnn_fpn")(FeaturePyramidEncoder)


def torchvision_file(encoder: ConvolutionalEncoder | FeaturePyramidEncoder) -> tuple[str, str] | None:
    """(file name, address) of the weights that the encoder's ``weights`` names; None when it names none.

    Raises ValueError when torchvision has no such weights.
    """
    if encoder.weights is None:
        return None
    model = encoder.plan.model if isinstance(encoder, ConvolutionalEncoder) else "fasterrcnn_resnet50_fpn"
    enum = torchvision.models.get_model_weights(model)
    if encoder.weights not in enum.__members__:
        raise ValueError(
            f"torchvision has no weights {encoder.weights!r} of {model}: "
            f"choose one of {', '.join(enum.__members__)}."
        )
    url: str = enum[encoder.weights].url
    return url.rsplit("/", 1)[-1], url


def load_torchvision(encoder: ConvolutionalEncoder | FeaturePyramidEncoder, path: Path) -> None:
    """Loads a weight file of torchvision (its classifier is left out), strictly.

    Raises FileNotFoundError when the file is missing, ValueError when it holds another architecture.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"The weights {path} are missing: fetch them with '{PYTHON} -m inference pull'."
        )
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(encoder, FeaturePyramidEncoder):
        state = {
            key.removeprefix("backbone."): value
            for key, value in state.items()
            if key.startswith("backbone.")
        }
    else:
        # Old DenseNet files say norm.1 where the module is norm1.
        dropped = (*(head + "." for head in encoder.plan.heads), "AuxLogits.")
        state = {
            _densenet_name(key) if encoder.architecture == "densenet121" else key: value
            for key, value in state.items()
            if not key.startswith(dropped)
        }
    try:
        encoder.backbone.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"The weights {path} are of another network than the encoder: {error}") from error


def _densenet_name(key: str) -> str:
    for layer in ("norm", "relu", "conv"):
        for number in ("1", "2"):
            key = key.replace(f".{layer}.{number}.", f".{layer}{number}.")
    return key
