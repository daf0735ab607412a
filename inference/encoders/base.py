"""What every encoder offers: pixels in, vectors out, and a declaration of which vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from inference.common.registry import Registry
from inference.encoders.preprocessing import Preprocessing

Yields = Literal["global", "grid", "layers", "codes"]
Memory = Tensor | tuple[Tensor, ...]


class Encoder(nn.Module, ABC):
    """Sees n pictures and yields one of

    * ``global``: (n, d), one vector a picture;
    * ``grid``: (n, p, d), one vector for each of p places, row by row from the top left;
    * ``layers``: a tuple of (n, d_i), one vector a picture from each of several layers, shallow to deep;
    * ``codes``: (n, p), int64, the number of a codeword for each of p places.

    ``widths`` is (d,) for the first two, (d_1, d_2, ...) for ``layers``, (codewords,) for ``codes``;
    ``positions`` is p (1 for ``global``, the number of layers for ``layers``).
    """

    yields: Yields
    widths: tuple[int, ...]
    positions: int
    preprocessing: Preprocessing
    settings: dict[str, Any]  # JSON-able, what build_encoder builds its like from

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    @abstractmethod
    def forward(self, pixels: Tensor) -> Memory:
        """``pixels`` (n, 3, size, size), float32, as :meth:`pixels` makes them."""

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB pictures as (n, 3, size, size), float32, on the CPU; see :class:`Preprocessing`."""
        return torch.from_numpy(self.preprocessing(images))

    def freeze(self, *parts: nn.Module) -> None:
        """These parts get no gradient and stay in eval mode, whatever ``train()`` says.

        A frozen BatchNorm in training mode would go on changing its running statistics, and normalise by
        those of the batch: several of the original systems had that defect.
        """
        for part in parts:
            part.requires_grad_(False)
            self._frozen.append(part)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen parts."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self


Build = Callable[..., Encoder]
B = TypeVar("B", bound=Build)
_REGISTRY: Registry[Build] = Registry(
    "encoder",
    (
        "inference.encoders.clip_resnet",
        "inference.encoders.cnn",
        "inference.encoders.efficientnet",
        "inference.encoders.ruclip",
        "inference.encoders.vqgan",
    ),
)
kinds = _REGISTRY.names  # that build_encoder knows


def register(kind: str) -> Callable[[B], B]:
    """Names a class or function that builds an encoder. Raises ValueError when the name is taken."""

    def add(build: B) -> B:
        _REGISTRY.add(kind, build)
        return build

    return add


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """The encoder that ``config`` describes, with random weights: ``kind`` names it, the rest sets it.

    Raises ValueError when the kind is unknown, or a setting is.
    """
    settings = dict(config)
    kind = settings.pop("kind", None)
    build = _REGISTRY.find(kind)
    if isinstance(settings.get("preprocessing"), Mapping):
        settings["preprocessing"] = Preprocessing.from_dict(settings["preprocessing"])
    encoder = _REGISTRY.made(kind, build, settings)
    encoder.settings = {"kind": kind, **settings, "preprocessing": encoder.preprocessing.to_dict()}
    return encoder
