"""torchvision's networks, through which captioners saw that were trained on features of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.checkpoints.pull.pulling import find_pulled
from inference.checkpoints.weight_files.state import ImportFailed, State, count, fill
from inference.common.interpreter import PYTHON
from inference.encoders.base import Encoder, build_encoder
from inference.encoders.cnn import ConvolutionalEncoder
from inference.importers.family import Parts, Request, Role

_BLOCKS = {(3, 4, 6, 3): "50", (3, 4, 23, 3): "101"}


def kind_of(state: State) -> str | None:
    """What the encoder is called whose weights these are; None: of none."""
    if "features.0.0.weight" in state and "features.12.0.weight" in state:
        return "mobilenet_v3_small"
    if "Mixed_7c.branch1x1.conv.weight" in state:
        return "inception_v3"
    blocks = tuple(count(state, f"layer{stage}.") for stage in range(1, 5))
    if "layer1.0.conv2.weight" not in state or blocks not in _BLOCKS:
        return None
    if "layer1.0.conv3.weight" not in state:
        return "resnet34" if blocks == (3, 4, 6, 3) else None
    wide = state["layer1.0.conv2.weight"].shape[1] != state["layer1.0.conv2.weight"].shape[0]
    return f"{'resnext' if wide else 'resnet'}{_BLOCKS[blocks]}"


# How torchvision's modules are numbered where the ResNet was cut into a Sequential.
_STEM = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_KERNEL = (64, 3, 7, 7)  # of a ResNet's first convolution


def resnet_of(state: State) -> tuple[str, State]:
    """(what stands before its names, the tensors under torchvision's names) of a ResNet among others, whole
    or cut into a Sequential; two empty ones where there is none."""
    first = next((key for key, value in state.items() if tuple(value.shape) == _KERNEL), "")
    prefix = (
        first.removesuffix("conv1.weight")
        if first.endswith("conv1.weight")
        else first.removesuffix("0.weight")
    )
    if not first or prefix == first:
        return "", {}
    inside = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    return prefix, {_named(key): value for key, value in inside.items()}


def _named(key: str) -> str:
    number, _, rest = key.partition(".")
    return f"{_STEM.get(number, number)}.{rest}"


NETWORK = Role("network of torchvision", lambda state: kind_of(state) is not None, sees=True)


def see_through(request: Request, parts: Parts, decoder: Path, config: Mapping[str, Any]) -> Encoder:
    """The encoder of ``config``, with the weights that were named, or that ``pull`` fetched.

    Raises ImportFailed when they are missing, or of another network than ``decoder`` saw through.
    """
    kind = config["kind"]
    if NETWORK not in parts.paths:
        folder = find_pulled(request.models_dir, kind)
        found = sorted(folder.glob("*.pth")) if folder else []
        if not found:
            raise ImportFailed(
                f"{decoder} saw through torchvision's {kind}, which is missing: fetch it with "
                f"'{PYTHON} -m inference pull {kind}', or name its file with --encoder."
            )
        parts.paths[NETWORK] = found[0]
    encoder = build_encoder(config)
    if not isinstance(encoder, ConvolutionalEncoder):
        raise TypeError(f"{kind} is no network of torchvision.")
    dropped = (*(head + "." for head in encoder.plan.heads), "AuxLogits.")
    state = {f"backbone.{k}": v for k, v in parts.state(NETWORK).items() if not k.startswith(dropped)}
    fill(encoder, state, kind)
    return encoder.eval()
