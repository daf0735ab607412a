"""A checkpoint of the shipped architecture to a describer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from PIL import Image

from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.concepts import ConceptDetector
from inference.captioners.meme_small.decoder import SlotPrefixDecoder
from inference.captioners.meme_small.known import Gate
from inference.captioners.meme_small.memory import SlotPrefixConfig
from inference.captioners.meme_small.model import MemeSmall, Parts
from inference.captioners.meme_small.sight import Sight
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.folder import WEIGHTS_FILE
from inference.checkpoints.format import TOKENIZER_FILE, CheckpointError, MissingWeightError, read_weights
from inference.common.blas import one_thread
from inference.common.types import DecodingOptions
from inference.graphs.session import GraphError
from inference.reading.reading import Reading
from inference.tokenizers.slots import SlotTokenizer


class ServedParts:
    """What a checkpoint's weights compute, on ONNX Runtime and numpy; see :class:`.model.Parts`.

    Raises CheckpointError when the weights are not those of the config.
    """

    def __init__(
        self,
        folder: Path,
        config: CheckpointConfig,
        sizes: SlotPrefixConfig,
        table: ConceptTable,
        threads: int | None = None,
    ) -> None:
        self.config = sizes
        path, weights = folder / WEIGHTS_FILE, read_weights(folder)
        try:
            self.see = Sight(config.encoder, weights, threads=threads)
            self.detect = ConceptDetector(weights.under("detector."))
            self.decoder = SlotPrefixDecoder(sizes, weights.under("decoder."), table.word_concepts)
        except MissingWeightError as error:
            raise CheckpointError.other_architecture(path, [error.args[0]], []) from error
        except GraphError as error:
            raise CheckpointError.not_whole(folder.name, error) from error
        if unknown := weights.untaken():
            raise CheckpointError.other_architecture(path, [], unknown)


MakeParts = Callable[[Path, CheckpointConfig, SlotPrefixConfig, ConceptTable, int | None], Parts]


class SlotDescriber:
    """The shipped architecture with the settings of its checkpoint: ``level`` of detail, ``gate``."""

    def __init__(self, model: MemeSmall, level: int, gate: Gate) -> None:
        self.model, self.level, self.gate = model, level, gate

    @classmethod
    def load(
        cls,
        folder: Path,
        config: CheckpointConfig,
        threads: int | None = None,
        *,
        parts: MakeParts = ServedParts,
    ) -> Self:
        """The checkpoint of a folder; ``threads``: of the processor, None: all that it may use; ``parts``:
        what runs its weights.

        Raises CheckpointError when its files do not fit together.
        """
        tokenizer = SlotTokenizer.load(folder / TOKENIZER_FILE)
        sizes = SlotPrefixConfig(**config.decoder)
        if sizes.vocabulary != len(tokenizer):
            raise CheckpointError(
                f"{TOKENIZER_FILE} of {folder.name} has {len(tokenizer)} words, but the model was built for "
                f"{sizes.vocabulary}: put the files of one checkpoint together."
            )
        table = ConceptTable.load(folder, tokenizer)
        model = MemeSmall(parts(folder, config, sizes, table, threads), tokenizer, table)
        level = int(config.own["level"])
        if not 0 <= level < len(tokenizer.levels):
            raise CheckpointError(
                f"{folder.name} asks for level of detail {level}, but its {TOKENIZER_FILE} has "
                f"{len(tokenizer.levels)} levels: put the files of one checkpoint together."
            )
        return cls(model, level, Gate(**config.own["gate"]))

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        with one_thread():
            texts, generated = self.model.describe(
                images, readings, options, level=self.level, gate=self.gate
            )
        lengths = [max(len(tokens) + 1, 1) for tokens in generated.tokens]
        return texts, [total / n for total, n in zip(generated.logprobs, lengths, strict=True)]
