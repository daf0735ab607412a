"""A ruCLIP folder: config.json, pytorch_model.bin, bpe.model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inference.checkpoints.folder import RUCLIP_FILE
from inference.checkpoints.weight_files.state import ImportFailed, State, count, fill, read_state, take
from inference.encoders.base import build_encoder
from inference.encoders.clip_resnet import clip_preprocessing
from inference.encoders.preprocessing import Preprocessing
from inference.encoders.ruclip import RuClip, RuClipConfig, RuClipEncoder, ruclip_preprocessing
from inference.tokenizers.youtokentome import FILE as BPE_FILE
from inference.tokenizers.youtokentome import YouTokenToMe

WHAT = "ruCLIP model"
_HEAD_WIDTH = 64
# What OpenAI's files hold besides, one number each.
_STATED = ("input_resolution", "context_length", "vocab_size")


def is_ruclip(state: State) -> bool:
    """Whether the names are those of OpenAI's CLIP with a vision transformer."""
    return {"visual.class_embedding", "text_projection"} <= state.keys()


@dataclass(frozen=True)
class ImportedRuClip:
    """Both towers, and the tokenizer where the folder has one."""

    model: RuClip
    tokenizer: YouTokenToMe | None
    preprocessing: Preprocessing
    openai: bool = False  # the file is OpenAI's own

    def encoder(
        self, *, normalise: bool | None = None, preprocessing: Preprocessing | None = None
    ) -> RuClipEncoder:
        """The vision tower as a captioner's encoder, of its own weights.

        ``normalise``: to vectors of length 1; not given: as the captioners of each kind were trained, so with
        ruCLIP, not with OpenAI's CLIP. ``preprocessing``: of the captioner, where it is not the tower's own.
        """
        config = self.model.config
        normalise = not self.openai if normalise is None else normalise
        encoder = build_encoder(
            {
                "kind": "ruclip",
                "normalise": normalise,
                "preprocessing": preprocessing or self.preprocessing,
                "embed_dim": config.embed_dim,
                "image_resolution": config.image_resolution,
                "vision_layers": config.vision_layers,
                "vision_width": config.vision_width,
                "vision_patch_size": config.vision_patch_size,
                "vision_heads": config.vision_heads,
            }
        )
        if not isinstance(encoder, RuClipEncoder):
            raise TypeError("ruCLIP's name is taken by another encoder.")
        encoder.visual.load_state_dict(self.model.visual.state_dict())
        return encoder.eval()


def import_ruclip(folder: Path, *, state: State | None = None) -> ImportedRuClip:
    """``folder`` as it comes from the hub, or a weight file alone, whose sizes are then told by its shapes.

    A file of OpenAI's CLIP with a vision transformer has the same names, and is known by three numbers that
    it holds besides. ``state``: the file's tensors, where they were read already.

    Raises FileNotFoundError, or ImportFailed when the file is another model or does not fit its config.json.
    """
    path = weights_in(folder) if folder.is_dir() else folder
    state = read_state(path) if state is None else state
    openai = any(name in state for name in _STATED)
    state = {name: tensor for name, tensor in state.items() if name not in _STATED}
    _fold_bias(state)
    config = config_of(state)
    stated = _stated(path.parent / "config.json")
    config = _checked(config, stated, path.parent / "config.json")
    model = RuClip(config)
    fill(model, state, WHAT)
    bpe = path.parent / BPE_FILE
    if isinstance(stated.get("preprocessing"), dict):
        preprocessing, openai = Preprocessing.from_dict(stated["preprocessing"]), bool(stated["openai"])
    elif openai:
        preprocessing = clip_preprocessing(config.image_resolution)
    else:
        preprocessing = ruclip_preprocessing(config.image_resolution)
        mean, std = (stated.get(name) for name in ("mean", "std"))
        preprocessing = replace(
            preprocessing,
            mean=tuple(mean) if mean else preprocessing.mean,
            std=tuple(std) if std else preprocessing.std,
        )
    tokenizer = YouTokenToMe(bpe) if bpe.is_file() else None
    return ImportedRuClip(model.eval(), tokenizer, preprocessing, openai)


def settings_of(found: ImportedRuClip) -> dict[str, Any]:
    """What a folder's config.json must say so that :func:`import_ruclip` reads the like of ``found``."""
    preprocessing = found.preprocessing.to_dict()
    return {**asdict(found.model.config), "preprocessing": preprocessing, "openai": found.openai}


def weights_in(folder: Path) -> Path:
    """The weight file of a folder from the hub, whichever of the usual names it has."""
    names = ("pytorch_model.bin", "model.safetensors", RUCLIP_FILE)
    found = (folder / name for name in names if (folder / name).is_file())
    return next(found, folder / names[0])


def _stated(path: Path) -> dict[str, Any]:
    """The folder's config.json; {} where there is none that speaks of a CLIP model."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImportFailed(f"{path} is damaged: fetch it again.") from error
    return found if isinstance(found, dict) and "embed_dim" in found else {}


def _fold_bias(state: State) -> None:
    """A bias of the patches' convolution is the same at every place: the places' embeddings take it in."""
    bias = state.pop("visual.conv1.bias", None)
    places = "visual.positional_embedding"
    if bias is not None and places in state:
        state[places] = state[places].clone()
        state[places][1:] += bias


def config_of(state: State) -> RuClipConfig:
    """The sizes that the shapes tell; heads are 64 wide, as in all published models."""
    width, _, patch, _ = take(state, "visual.conv1.weight", WHAT, 4).shape
    places = len(take(state, "visual.positional_embedding", WHAT)) - 1
    text = take(state, "text_projection", WHAT, 2)
    words = take(state, "token_embedding.weight", WHAT, 2)
    return RuClipConfig(
        embed_dim=text.shape[1],
        image_resolution=round(places**0.5) * patch,
        vision_layers=count(state, "visual.transformer.resblocks."),
        vision_width=width,
        vision_patch_size=patch,
        context_length=len(take(state, "positional_embedding", WHAT)),
        vocab_size=len(words),
        transformer_width=words.shape[1],
        transformer_heads=max(1, words.shape[1] // _HEAD_WIDTH),
        transformer_layers=count(state, "transformer.resblocks."),
    )


def _checked(config: RuClipConfig, stated: dict[str, Any], path: Path) -> RuClipConfig:
    """The config file's sizes, which know the heads; all others must be what the shapes tell.

    A picture's side need not be a multiple of the patch's: what is left over at the edge is not looked at.
    """
    heads = {"transformer_heads", "vision_heads"}
    known = {name: stated[name] for name in (*heads, "image_resolution") if name in stated}
    for name, value in known.items():
        if not isinstance(value, int):
            raise ImportFailed(f"{path} says {name} is {value!r}, which is no whole number: fetch it again.")
    for name, value in stated.items():
        told = getattr(config, name, value)
        rest = value - told if name == "image_resolution" else 0
        if name not in heads and told != value and not 0 < rest < config.vision_patch_size:
            raise ImportFailed(f"{path} says {name} is {value}, the weights have {told}: fetch both again.")
    config = replace(config, **known)
    towers = {
        "vision": (config.vision_width, config.vision_heads or config.vision_width // _HEAD_WIDTH),
        "transformer": (config.transformer_width, config.transformer_heads),
    }
    for name, (width, told_heads) in towers.items():
        if told_heads < 1 or width % told_heads:
            raise ImportFailed(
                f"{path} must say {name}_heads: the weights are {width} wide, which {told_heads} do not "
                "divide."
            )
    return config
