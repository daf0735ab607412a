"""From a picture to the pixels a model was trained on: declared by a config, the same in training and use.

Nothing here is random, mirrors, or cuts off an edge unless the config says ``crop`` or ``middle``: on a meme
the words stand at the edges, and a mirrored word is no word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

Fit = Literal["squash", "letterbox", "crop", "middle"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture of any shape becomes a square of ``size`` pixels a side.

    * ``squash``: both sides are scaled to ``size``, to ``via`` first where one is given; proportions change,
      nothing is lost.
    * ``letterbox``: the longer side is scaled to ``size``, bars of the mean colour fill the rest.
    * ``crop``: the shorter side is scaled to ``resize`` (``size`` when 0), then the centre is cut out; what
      stands at the ends of the longer side is lost.
    * ``middle``: the largest square in the centre is cut out, then scaled to ``size``; the same is lost.

    Raises ValueError when a value is outside its range.
    """

    size: int = 224  # pixels
    fit: Fit = "squash"
    resize: int = 0  # pixels of the shorter side before the cut of "crop"; 0 = size
    via: int = 0  # pixels a side that "squash" goes through; 0 = none
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of channels in 0..1
    std: tuple[float, float, float] = IMAGENET_STD
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ValueError(f"A picture is fitted by {', '.join(get_args(Fit))}, not by {self.fit!r}.")
        if self.filter not in _FILTERS:
            raise ValueError(f"The filter must be one of {', '.join(_FILTERS)}, not {self.filter!r}.")
        if self.size < 1 or self.via < 0 or (self.resize and self.resize < self.size):
            raise ValueError(
                "Preprocessing needs a size of at least 1 pixel, and a resize no smaller than it."
            )
        if min(self.std) <= 0:
            raise ValueError("Preprocessing divides by the standard deviations: they must be above 0.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The preprocessing of :meth:`to_dict`. ValueError: an unknown name."""
        unknown = sorted(set(values) - {part.name for part in fields(cls)})
        if unknown:
            raise ValueError(f"Unknown preprocessing setting: {', '.join(unknown)}.")
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)

    def fitted(self, image: Image.Image) -> Image.Image:
        """The RGB square that the model sees."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        scale = _FILTERS[self.filter]
        width, height = image.size
        if self.fit == "squash":
            image = image.resize((self.via, self.via), scale) if self.via else image
            return image.resize((self.size, self.size), scale)
        if self.fit == "letterbox":
            longer = max(width, height)
            inner = (max(1, round(width * self.size / longer)), max(1, round(height * self.size / longer)))
            colour = tuple(round(255 * value) for value in self.mean)
            square = Image.new("RGB", (self.size, self.size), colour)
            square.paste(
                image.resize(inner, scale), ((self.size - inner[0]) // 2, (self.size - inner[1]) // 2)
            )
            return square
        # The rounding of torchvision's transforms, which the original weights were trained with.
        shorter, side = min(width, height), self.resize or self.size
        if self.fit == "middle":
            left, top = (width - shorter) // 2, (height - shorter) // 2
            square = image.crop((left, top, left + shorter, top + shorter))
            return square.resize((self.size, self.size), scale)
        image = image.resize((int(side * width / shorter), int(side * height / shorter)), scale)
        left, top = round((image.width - self.size) / 2), round((image.height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))

    def __call__(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Pixels (n, 3, size, size), normalised by mean and std."""
        if not images:
            return np.empty((0, 3, self.size, self.size), np.float32)
        pixels = np.stack([np.asarray(self.fitted(image), dtype=np.float32) for image in images]) / 255
        pixels = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
