"""A trained model as a checkpoint that says everything needed to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.captioners.meme_small.concept_table import ConceptTable, vocabulary_files
from inference.captioners.meme_small.known import Gate
from inference.captioners.meme_small.sight import ENCODER
from inference.checkpoints.config import CheckpointConfig, TrainingRecord
from inference.checkpoints.modules import save_checkpoint
from inference.common.types import DecodingOptions
from inference.tokenizers.slots import SlotTokenizer
from train_scripts.meme_small.networks import MemeSmallNetwork

DECODING = DecodingOptions(strategy="beam", beams=3, max_tokens=180, length_penalty=1.0)
LEVEL = 1
INT8 = ("encoder.", "detector.")  # the parts that 8 bits do no harm: measured, see the model card


def write_checkpoint(
    folder: Path,
    network: MemeSmallNetwork,
    tokenizer: SlotTokenizer,
    table: ConceptTable,
    *,
    training: Mapping[str, Any],
    decoding: DecodingOptions = DECODING,
    level: int = LEVEL,
    gate: Gate | None = None,
) -> None:
    """The whole checkpoint, its weights in float16 and 8 bits, but for the model card, which is written by
    hand. ``training``: recipe and history. Raises CheckpointError when it cannot be written.
    """
    config = CheckpointConfig(
        "meme-small",
        ENCODER,
        network.decoder.config.to_dict(),
        decoding,
        {"level": level, "gate": asdict(gate or Gate())},
    )
    tables = vocabulary_files(tokenizer, table)
    save_checkpoint(folder, network, config, TrainingRecord(training), tables=tables, int8=INT8)
