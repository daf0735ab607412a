"""What an encoder begins to train with: published weights, or random ones that tell pictures apart."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from inference.checkpoints.weight_files.state import fill, read_state
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.encoders.base import Encoder
from inference.encoders.cnn import (
    ConvolutionalEncoder,
    FeaturePyramidEncoder,
    load_torchvision,
    torchvision_file,
)
from inference.encoders.efficientnet import EfficientNetLite, load_packaged
from inference.encoders.ruclip import RuClipEncoder
from inference.encoders.ruclip_files import import_ruclip
from inference.encoders.vqgan import VqganEncoder
from inference.importers.rudolph import import_vqgan
from train_scripts.pictures import UnreadablePicturesError, open_picture
from train_scripts.training.config import RANDOM, models_dir
from train_scripts.training.seeing import GROUP

__all__ = ["load_encoder"]

_CALIBRATION = 32  # pictures


def load_encoder(encoder: Encoder, weights: str, pictures: Sequence[Path]) -> list[str]:
    """Fills the encoder as `encoder.weights` of a recipe says; what a person should know, one sentence each.

    The networks of torchvision, EfficientNet-Lite, ruCLIP and the VQGAN are read as their authors hand them
    out, any other by the names of its own tensors. `pictures`: some that stand for all, which random weights
    are scaled by.

    Raises UserError, FileNotFoundError, or ImportFailed or ValueError when the file is of another network.
    """
    if weights == RANDOM:
        encoder.settings |= {"weights": None} if "weights" in encoder.settings else {}
        _calibrate(encoder, pictures)
        return ["The encoder's weights are random: it tells pictures apart, but knows nothing of them."]
    path = Path(weights)
    if isinstance(encoder, ConvolutionalEncoder | FeaturePyramidEncoder):
        name = encoder.plan.model if isinstance(encoder, ConvolutionalEncoder) else "fasterrcnn_resnet50_fpn"
        if weights in torchvision.models.get_model_weights(name).__members__:
            encoder.weights = weights
            encoder.settings["weights"] = weights
            path = _torchvision_path(encoder)
        elif not path.exists():
            known = ", ".join(torchvision.models.get_model_weights(name).__members__)
            raise UserError(
                f"encoder.weights is {weights!r}, which is neither a file nor weights of {name} "
                f"({known}) nor "
                "'random': choose one of these."
            )
        load_torchvision(encoder, path)
        return []
    if isinstance(encoder, EfficientNetLite) and not path.exists():
        load_packaged(encoder, packaged_weights(weights))
        return []
    if isinstance(encoder, RuClipEncoder):
        encoder.visual.load_state_dict(import_ruclip(path).model.visual.state_dict())
        return []
    if isinstance(encoder, VqganEncoder):
        encoder.load_state_dict(import_vqgan(path).state_dict())
        return []
    parts = list(encoder.children())
    network = parts[0] if len(parts) == 1 else encoder  # published files know nothing of what it is put into
    fill(network, read_state(path), encoder.settings["kind"])
    return []


def packaged_weights(package: str) -> Path:
    """The ``.pth`` file that an installed package carries. Raises UserError."""
    # Of a dotted name find_spec would import what stands before the dot.
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise UserError(
            f"The encoder's weights {package} are not here: install the package of this name, or set "
            "encoder.weights to their file, or to 'random'."
        )
    return next(Path(found.submodule_search_locations[0]).rglob("*.pth"))


def _torchvision_path(encoder: ConvolutionalEncoder | FeaturePyramidEncoder) -> Path:
    named = torchvision_file(encoder)
    if named is None:
        raise UserError("The encoder names no weights: set encoder.weights.")
    folders = [*models_dir().glob("*/")]
    for folder in (*folders, Path(torch.hub.get_dir()) / "checkpoints"):
        if (folder / named[0]).is_file():
            return folder / named[0]
    kind = encoder.settings["kind"]
    raise UserError(
        f"The weights {encoder.weights} ({named[0]}) are not here: fetch them with '{PYTHON} -m inference "
        f"pull {kind}', or set encoder.weights to their file, or to 'random' on a machine without internet."
    )


def _calibrate(encoder: Encoder, pictures: Sequence[Path]) -> None:
    """Gives a network of random weights activations like a trained one's (data-dependent initialisation,
    Mishkin & Matas 2016).

    Without it they grow from layer to layer until all pictures look alike. What a residual block adds is made
    small, and the statistics of each BatchNorm are those of some pictures.
    """
    for module in encoder.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            nn.init.constant_(last.weight, 0.1)
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms or encoder.yields == "codes":
        return
    images = []
    for path in pictures[:_CALIBRATION]:
        with suppress(UnreadablePicturesError):  # the run tells of all of them before its first step
            images.append(open_picture(path))
    if not images:
        return
    pixels = torch.cat([encoder.pixels(images[i : i + GROUP]) for i in range(0, len(images), GROUP)])
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order, whatever the machine
    try:
        with torch.no_grad():
            encoder(pixels)
    finally:
        torch.set_num_threads(threads)
        for norm in norms:
            norm.momentum = 0.1
        encoder.eval()
