"""A checkpoint of the shipped architecture to a describer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.model import Gate, MemeSmall
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.format import TOKENIZER_FILE, CheckpointError, load_weights
from inference.common.types import DecodingOptions
from inference.decoders.slot_prefix import SlotPrefixConfig
from inference.reading.reading import Reading
from inference.tokenizers.slots import SlotTokenizer


class SlotDescriber:
    """The shipped architecture with the settings of its checkpoint. ``threads``: of the processor; None: all
    that it may use.
    """

    def __init__(self, folder: Path, config: CheckpointConfig, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        tokenizer = SlotTokenizer.load(folder / TOKENIZER_FILE)
        sizes = SlotPrefixConfig(**config.decoder)
        if sizes.vocabulary != len(tokenizer):
            raise CheckpointError(
                f"{TOKENIZER_FILE} of {folder.name} has {len(tokenizer)} words, but the model was built for "
                f"{sizes.vocabulary}: put the files of one checkpoint together."
            )
        table = ConceptTable.load(folder, tokenizer)
        self.model = MemeSmall(sizes, tokenizer, table, encoder=config.encoder)
        load_weights(self.model, folder)
        self.model.eval()
        self.level = int(config.own["level"])
        if not 0 <= self.level < len(tokenizer.levels):
            raise CheckpointError(
                f"{folder.name} asks for level of detail {self.level}, but its {TOKENIZER_FILE} has "
                f"{len(tokenizer.levels)} levels: put the files of one checkpoint together."
            )
        self.gate = Gate(**config.own["gate"])

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        texts, generated = self.model.describe(images, readings, options, level=self.level, gate=self.gate)
        lengths = [max(len(tokens) + 1, 1) for tokens in generated.tokens]
        return texts, [total / n for total, n in zip(generated.logprobs, lengths, strict=True)]
