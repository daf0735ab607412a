"""Checkpoints of random weights that are small, soon exported, and say something of their own."""

from __future__ import annotations

from pathlib import Path

import torch

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.presets.preset import Preset
from inference.tokenizers.words import WordTokenizer
from inference.tokenizers.words_read import WordsRead
from tests.inference.learning import CAPTIONS, tiny, tokenizer_for

TOWER = {
    "embed_dim": 32,
    "image_resolution": 32,
    "vision_layers": 1,
    "vision_width": 64,
    "vision_patch_size": 16,
}


def seen_by_a_small_tower(name: str) -> Preset:
    """The preset at a small size, whose encoder is one that is soon exported."""
    small = tiny(name)
    yields = small.encoder.settings.get("yields", "global")
    if yields == "layers":
        return small.changed(encoder={"kind": "resnet34"}, decoder={"pictures": [64, 128, 256, 512]})
    width = TOWER["vision_width"] if yields == "grid" else TOWER["embed_dim"]
    widths: dict[str, object] = (
        {"picture": width} if small.decoder.kind == "recurrent" else {"pictures": [width]}
    )
    if small.bridge.get("linear") is False:
        widths["embedding"] = width
    part = small.encoder.model_copy(update={"kind": "ruclip", "settings": {**TOWER, "yields": yields}})
    return small.model_copy(update={"encoder": part}).changed(decoder=widths)


def speaking(
    name: str, folder: Path, chosen: Preset | None = None, words: WordsRead = "none"
) -> CaptionModel:
    """The small preset, whose random weights say something of their own at every step, as a checkpoint."""
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    chosen = chosen or seen_by_a_small_tower(name)
    slots = WordTokenizer.from_captions(CAPTIONS, slots=4) if words == "slots" else None
    model = build(chosen, tokenizer=slots or tokenizer_for(name, folder), words=words).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    model.save(folder, DecodingOptions("beam", beams=3, max_tokens=16), preset=name)
    return model
