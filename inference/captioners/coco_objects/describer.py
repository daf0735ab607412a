"""What torchvision's Faster R-CNN sees on a picture, and the describer that puts it into words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.detection import FasterRCNN, FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d
from torchvision.transforms.functional import pil_to_tensor

from inference.captioners.coco_objects.wording import Thing, compose
from inference.checkpoints.coco_objects import PULLED, WEIGHTS, weights
from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.common.interpreter import PYTHON
from inference.common.types import DecodingOptions, EngineError
from inference.reading.reading import Reading

_CATEGORIES: list[str] = FasterRCNN_ResNet50_FPN_Weights[WEIGHTS].meta["categories"]

# torchvision chooses 800 and 1000: seconds more on a processor, for small things that captions do not name.
SIDE = 512
PROPOSALS = 300
SURE = 0.7  # a thing less probable than this is not named
_SAME = 0.8  # overlap (intersection over union) of two boxes that are one thing under two names
_NOTHING_SEEN = 0.1  # how sure a caption is that names nothing


def load_detector(path: Path, *, side: int = SIDE) -> nn.Module:
    """torchvision's detector with the weights of its own file format, in eval mode.

    ``side``: pixels that a picture's shorter side is scaled to; the longer one gets at most twice as many.

    Raises EngineError when the file is damaged or holds another network.
    """
    # As torchvision builds it for these weights: they were trained with frozen statistics and no epsilon.
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=0)
    detector: nn.Module = FasterRCNN(
        backbone,
        num_classes=len(_CATEGORIES),
        min_size=side,
        max_size=2 * side,
        rpn_pre_nms_top_n_test=PROPOSALS,
        rpn_post_nms_top_n_test=PROPOSALS,
    )
    for module in detector.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    try:
        detector.load_state_dict(read_state(path))
    except (ImportFailed, FileNotFoundError) as error:
        raise EngineError(f"The detector cannot be loaded. {error}") from error
    except RuntimeError as error:
        raise EngineError(
            f"{path} holds another network than torchvision's Faster R-CNN ResNet-50 FPN ({WEIGHTS}): "
            f"fetch it with '{PYTHON} -m inference pull {PULLED}'."
        ) from error
    return detector.eval()


@torch.inference_mode()
def detect(detector: nn.Module, image: Image.Image, *, sure: float = SURE) -> list[Thing]:
    """The things on an upright RGB picture that are at least ``sure`` (0..1), the surest first."""
    pixels = pil_to_tensor(image).float() / 255
    (found,) = detector([pixels.to(next(detector.parameters()).device)])
    keep = found["scores"] >= sure
    boxes, labels, scores = found["boxes"][keep], found["labels"][keep], found["scores"][keep]
    # The detector compares boxes of one class only: what it takes for a dog and for a cat is told once.
    distinct = torchvision.ops.nms(boxes, scores, _SAME)
    size = torch.tensor([image.width, image.height, image.width, image.height])
    things = []
    for i in distinct.tolist():
        left, top, right, bottom = (boxes[i].cpu() / size).tolist()
        things.append(Thing(_CATEGORIES[int(labels[i])], (left, top, right, bottom), float(scores[i])))
    return things


class ObjectDescriber:
    """A describer as :class:`~inference.captioners.captioner.Captioner` wants it.

    Decoding options change nothing.
    """

    # Nothing is searched for among tokens here; something must stand in a caption all the same.
    options = DecodingOptions(strategy="greedy")

    def __init__(self, detector: nn.Module) -> None:
        self.detector = detector

    @classmethod
    def load(cls, models_dir: Path) -> Self:
        """Raises UnknownModel when the weights are missing, EngineError as :func:`load_detector` does."""
        return cls(load_detector(weights(models_dir)))

    def describe(
        self,
        images: Sequence[Image.Image],
        readings: Sequence[Reading],
        options: DecodingOptions,  # noqa: ARG002 - nothing is searched for
    ) -> tuple[list[str], list[float]]:
        """One description a picture, and the logarithm of how probable the things named are, on average."""
        texts, likelihoods = [], []
        # One by one: together they would be padded to one size, and a picture's caption would depend on it.
        for image, reading in zip(images, readings, strict=True):
            things = detect(self.detector, image)
            texts.append(compose(things, reading))
            mean = sum(thing.score for thing in things) / len(things) if things else _NOTHING_SEEN
            likelihoods.append(math.log(mean))
        return texts, likelihoods
