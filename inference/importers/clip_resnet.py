"""The convolutional models of OpenAI's CLIP: the eye of ClipCap's published weights for COCO is RN50x4."""

from __future__ import annotations

from inference.checkpoints.weight_files.state import State, count, fill, take
from inference.encoders.base import build_encoder
from inference.encoders.clip_resnet import ClipResNetEncoder
from inference.importers.family import Role

WHAT = "convolutional CLIP model"
_HEAD_WIDTH = 64


def is_clip_resnet(state: State) -> bool:
    """Whether the names are those of OpenAI's CLIP with a ResNet."""
    return "visual.attnpool.positional_embedding" in state


def import_clip_resnet(state: State, *, normalise: bool) -> ClipResNetEncoder:
    """The tower that sees; that which reads is left out. ``normalise``: to vectors of length 1.

    Raises ImportFailed when the tensors are not one.
    """
    out, deepest = take(state, "visual.attnpool.c_proj.weight", WHAT, 2).shape
    places = len(take(state, "visual.attnpool.positional_embedding", WHAT, 2)) - 1
    encoder = build_encoder(
        {
            "kind": "clip_resnet",
            "normalise": normalise,
            "layers": [count(state, f"visual.layer{number}.") for number in range(1, 5)],
            "width": len(take(state, "visual.conv3.weight", WHAT, 4)),
            "heads": max(1, deepest // _HEAD_WIDTH),
            "image_resolution": round(places**0.5) * 32,
            "embed_dim": out,
        }
    )
    fill(encoder, {key: value for key, value in state.items() if key.startswith("visual.")}, WHAT)
    if not isinstance(encoder, ClipResNetEncoder):
        raise TypeError("The name of CLIP's ResNet is taken by another encoder.")
    return encoder.eval()


CLIP_RESNET = Role(WHAT, is_clip_resnet, sees=True)
