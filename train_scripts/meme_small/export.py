"""A trained model as a checkpoint that says everything needed to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.captioners.meme_small.model import ENCODER, Gate, MemeSmall
from inference.checkpoints.format import TOKENIZER_FILE, save_checkpoint
from inference.common.types import DecodingOptions

DECODING = DecodingOptions(strategy="beam", beams=3, max_tokens=180, length_penalty=1.0)
LEVEL = 1
INT8 = ("encoder.", "detector.")  # the parts that 8 bits do no harm: measured, see the model card


def write_checkpoint(
    folder: Path,
    model: MemeSmall,
    *,
    training: Mapping[str, Any],
    decoding: DecodingOptions = DECODING,
    level: int = LEVEL,
    gate: Gate | None = None,
) -> None:
    """config.json, model.safetensors (float16) and tokenizer.json; the model card beside them is written
    by hand.
    """
    config = {
        "architecture": "meme-small",
        "encoder": dict(ENCODER),
        "decoder": model.decoder.config.to_dict(),
        "concepts": list(model.concepts),
        "word_concepts": model.word_concepts.tolist(),
        "level": level,
        "gate": asdict(gate or Gate()),
        "decoding": decoding.to_dict(),
        "training": dict(training),
    }
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{TOKENIZER_FILE}.part"
    try:
        model.tokenizer.save(part)
        save_checkpoint(folder, model, config, int8=INT8)
        part.replace(folder / TOKENIZER_FILE)
    finally:
        part.unlink(missing_ok=True)
