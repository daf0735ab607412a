"""A ruCLIP folder: config.json, pytorch_model.bin, bpe.model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from inference.encoders.base import build_encoder
from inference.encoders.ruclip import RuClip, RuClipConfig, RuClipEncoder
from inference.importers.files import ImportFailed, State, count, fill, read_state, take
from inference.tokenizers.youtokentome import FILE as BPE_FILE
from inference.tokenizers.youtokentome import YouTokenToMe

WHAT = "ruCLIP model"
_HEAD_WIDTH = 64


def is_ruclip(state: State) -> bool:
    """Whether the names are those of OpenAI's CLIP with a vision transformer."""
    return {"visual.class_embedding", "text_projection"} <= state.keys()


@dataclass(frozen=True)
class ImportedRuClip:
    """Both towers, and the tokenizer where the folder has one."""

    model: RuClip
    tokenizer: YouTokenToMe | None

    def encoder(self, *, normalise: bool = True) -> RuClipEncoder:
        """The vision tower as a captioner's encoder, of its own weights."""
        config = self.model.config
        encoder = build_encoder(
            {
                "kind": "ruclip",
                "normalise": normalise,
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


def import_ruclip(folder: Path) -> ImportedRuClip:
    """``folder`` as it comes from the hub, or a weight file alone, whose sizes are then told by its shapes.

    Raises FileNotFoundError, or ImportFailed when the file is another model or does not fit its config.json.
    """
    path = folder / "pytorch_model.bin" if folder.is_dir() else folder
    state = read_state(path)
    config = config_of(state)
    stated = path.parent / "config.json"
    if stated.is_file():
        config = _checked(config, json.loads(stated.read_text(encoding="utf-8")), stated)
    model = RuClip(config)
    fill(model, state, WHAT)
    bpe = path.parent / BPE_FILE
    return ImportedRuClip(model.eval(), YouTokenToMe(bpe) if bpe.is_file() else None)


def config_of(state: State) -> RuClipConfig:
    """The sizes that the shapes tell; heads are 64 wide, as in all published models."""
    width, _, patch, _ = take(state, "visual.conv1.weight", WHAT).shape
    places = len(take(state, "visual.positional_embedding", WHAT)) - 1
    text = take(state, "text_projection", WHAT)
    words = take(state, "token_embedding.weight", WHAT)
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


def _checked(config: RuClipConfig, stated: dict[str, object], path: Path) -> RuClipConfig:
    """The config file's sizes, which know the heads; all others must be what the shapes tell."""
    sizes = {name: stated[name] for name in RuClipConfig.__dataclass_fields__ if name in stated}
    for name, value in sizes.items():
        told = getattr(config, name)
        if name not in {"transformer_heads", "vision_heads"} and told != value:
            raise ImportFailed(f"{path} says {name} is {value}, the weights have {told}: fetch both again.")
    heads = stated.get("transformer_heads", config.transformer_heads)
    return RuClipConfig(
        **{
            **{name: getattr(config, name) for name in RuClipConfig.__dataclass_fields__},
            "transformer_heads": heads,
        }
    )
