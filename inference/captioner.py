"""A picture to a :class:`Caption`: read the words, describe, put both together. Built from a checkpoint
by name.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from inference.checkpoint import TOKENIZER_FILE, CheckpointError, load_weights, read_config
from inference.decoders.slot_prefix import SlotPrefixConfig
from inference.meme_small import Gate, MemeSmall
from inference.models import OBJECTS, checkpoint_hash, find_model, has_folder
from inference.reading.reader import Reader
from inference.reading.summary import summarise
from inference.slots import SlotTokenizer, clean_quote
from inference.types import Caption, DecodingOptions, TextLine

logger = logging.getLogger(__name__)

LOW_CONFIDENCE = 0.35


class Describer(Protocol):
    """What each architecture brings: descriptions for pictures and the lines read on them."""

    def describe(
        self, images: Sequence[Image.Image], lines: Sequence[Sequence[TextLine]], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """One description a picture, and the mean log-probability of its tokens."""


class SlotDescriber:
    """The shipped architecture with the settings of its checkpoint."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        tokenizer = SlotTokenizer.load(folder / TOKENIZER_FILE)
        sizes = SlotPrefixConfig(**config["decoder"])
        if sizes.vocabulary != len(tokenizer):
            raise CheckpointError(
                f"{TOKENIZER_FILE} of {folder.name} has {len(tokenizer)} words, but the model was built for "
                f"{sizes.vocabulary}: put the files of one checkpoint together."
            )
        if len(config["word_concepts"]) != len(tokenizer):
            raise CheckpointError(
                f"config.json of {folder.name} knows {len(config['word_concepts'])} words, but its "
                f"{TOKENIZER_FILE} {len(tokenizer)}: put the files of one checkpoint together."
            )
        self.model = MemeSmall(
            sizes, tokenizer, config["concepts"], config["word_concepts"], encoder=config["encoder"]
        )
        load_weights(self.model, folder)
        self.model.eval()
        self.level = int(config["level"])
        if not 0 <= self.level < len(tokenizer.levels):
            raise CheckpointError(
                f"{folder.name} asks for level of detail {self.level}, but its {TOKENIZER_FILE} has "
                f"{len(tokenizer.levels)} levels: put the files of one checkpoint together."
            )
        self.gate = Gate(**config["gate"])

    def describe(
        self, images: Sequence[Image.Image], lines: Sequence[Sequence[TextLine]], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        texts, generated = self.model.describe(images, lines, options, level=self.level, gate=self.gate)
        lengths = [max(len(tokens) + 1, 1) for tokens in generated.tokens]
        return texts, [total / n for total, n in zip(generated.logprobs, lengths, strict=True)]


def _encoder_decoder(folder: Path, config: dict[str, Any]) -> Describer:
    """The presets of the originals; they import transformers, which the shipped model does without."""
    from inference.caption_model import CaptionModel  # noqa: PLC0415

    return CaptionModel.load(folder, config)


ARCHITECTURES: dict[str, Callable[[Path, dict[str, Any]], Describer]] = {
    "meme-small": SlotDescriber,
    "encoder-decoder": _encoder_decoder,
}


class Captioner:
    """A model ready to caption; not thread-safe."""

    def __init__(
        self, name: str, checkpoint: str, describer: Describer, reader: Reader, options: DecodingOptions
    ) -> None:
        self.name = name
        self.checkpoint = checkpoint
        self.options = options
        self._describer = describer
        self._reader = reader

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None = None) -> list[Caption]:
        """One caption for each upright RGB picture; None = the options of the checkpoint.

        ``seconds`` holds "read" (this picture's own) and "generate" (the batch's, shared evenly).
        """
        if not images:
            return []
        options = options or self.options
        lines: list[list[TextLine]] = []
        reading: list[float] = []
        for image in images:
            started = time.perf_counter()
            lines.append(self._reader.read(image))
            reading.append(time.perf_counter() - started)
        started = time.perf_counter()
        texts, likelihoods = self._describer.describe(images, lines, options)
        share = (time.perf_counter() - started) / max(len(images), 1)
        captions = []
        for image, own, text, likelihood, seconds in zip(
            images, lines, texts, likelihoods, reading, strict=True
        ):
            confidence = _confidence(own, likelihood)
            notes = () if self._reader.available else ("no_reading",)
            if confidence < LOW_CONFIDENCE:
                notes = (*notes, "low_confidence")
            # The summary claims no absence of words where nobody could read.
            summary = summarise(image, own, reading=self._reader.available)
            captions.append(
                Caption(
                    summary=summary,
                    text=text or summary,
                    words=_blocks(own),
                    model=self.name,
                    checkpoint=self.checkpoint,
                    options=options,
                    seconds={"read": seconds, "generate": share},
                    confidence=confidence,
                    notes=notes,
                )
            )
        return captions


def load_captioner(name: str, models_dir: Path, *, threads: int | None = None) -> Captioner:
    """The named model, ready to caption. ``threads``: of torch; None leaves its own choice.

    Raises:
        UnknownModel: no model has that name; the message says which there are, or how to get it.
        CheckpointError: the checkpoint is damaged or of an architecture this version does not know.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if not has_folder(name):
        # By name: these modules build on this one.
        module: Any = importlib.import_module("inference.composer" if name == OBJECTS else "inference.hub")
        captioner: Captioner = module.load(name, models_dir, threads=threads)
        return captioner
    folder = find_model(models_dir, name)
    config = read_config(folder)
    build = ARCHITECTURES.get(config.get("architecture", ""))
    if build is None:
        raise CheckpointError(
            f"{name} is of the architecture {config.get('architecture')!r}, which this version does not know "
            f"(it knows {', '.join(ARCHITECTURES)}): use a newer version of the program."
        )
    try:
        options = DecodingOptions.from_dict(config["decoding"])
        describer = build(folder, config)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The files of {name} are damaged or do not fit together ({type(error).__name__}: {error}): "
            "get the checkpoint anew, whole."
        ) from error
    return Captioner(name, checkpoint_hash(models_dir, name), describer, Reader(), options)


def _confidence(lines: Sequence[TextLine], likelihood: float) -> float:
    """0..1: how sure the reading is where there is any (weighted by letters), else how sure the wording."""
    wording = float(torch.tensor(likelihood).exp())
    letters = [len(line.text) for line in lines]
    if not letters:
        return wording
    reading = sum(line.confidence * n for line, n in zip(lines, letters, strict=True)) / sum(letters)
    return float(reading * wording**0.25)


def _blocks(lines: Sequence[TextLine]) -> tuple[str, ...]:
    """A string a block; the account that wrote a post before its first one."""
    blocks: dict[tuple[int, bool], list[str]] = {}
    for line in lines:
        if line.author:
            blocks.setdefault((line.block, False), []).append(f"@{line.author}")
        blocks.setdefault((line.block, True), []).append(clean_quote(line.text))
    return tuple(text for block in blocks.values() if (text := " ".join(filter(None, block))))
