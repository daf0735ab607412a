"""A picture to a :class:`Caption`: read the words, describe, put both together. Built from a checkpoint
by name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from inference.captioners.meme_small.describer import SlotDescriber
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.folder import find_checkpoint
from inference.checkpoints.format import CheckpointError, read_config
from inference.checkpoints.hub import HubSettings
from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import CheckpointFolder, CocoObjects, HubModel, Model, ModelName
from inference.common.types import Caption, DecodingOptions
from inference.reading.foreign import Translate, in_russian
from inference.reading.lines import Block
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from inference.reading.summary import summarise

logger = logging.getLogger(__name__)

LOW_CONFIDENCE = 0.35


class Describer(Protocol):
    """What each architecture brings: descriptions for pictures and what was read on them."""

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """One description an upright RGB picture, and the mean log-probability of its tokens."""


def _encoder_decoder(folder: Path, config: CheckpointConfig) -> Describer:
    """The presets of the originals; they import transformers, which the shipped model does without."""
    from inference.captioners.encoder_decoder import CaptionModel  # noqa: PLC0415

    return CaptionModel.load(folder, config)


ARCHITECTURES: dict[str, Callable[[Path, CheckpointConfig], Describer]] = {
    "meme-small": SlotDescriber,
    "encoder-decoder": _encoder_decoder,
}


class Captioner:
    """A model ready to caption; not thread-safe."""

    def __init__(
        self,
        name: str,
        checkpoint: str,
        describer: Describer,
        reader: Reader,
        options: DecodingOptions,
        *,
        translate: Translate | None = None,
    ) -> None:
        self.name = name
        self.checkpoint = checkpoint
        self.options = options
        self._describer = describer
        self._reader = reader
        self._translate = translate

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None = None) -> list[Caption]:
        """One caption for each upright RGB picture; None = the options of the checkpoint.

        ``seconds`` holds "read" (this picture's own) and "generate" (the batch's, shared evenly; what
        translating takes is in it).
        """
        if not images:
            return []
        options = options or self.options
        readings: list[Reading] = []
        taken: list[float] = []
        for image in images:
            started = time.perf_counter()
            readings.append(self._reader.read(image))
            taken.append(time.perf_counter() - started)
        started = time.perf_counter()
        images = [reading.upright(image) for image, reading in zip(images, readings, strict=True)]
        texts, likelihoods = self._describer.describe(images, readings, options)
        if self._translate is not None:
            texts = in_russian(texts, readings, self._translate)
        share = (time.perf_counter() - started) / max(len(images), 1)
        captions = []
        for reading, text, likelihood, seconds in zip(readings, texts, likelihoods, taken, strict=True):
            confidence = _confidence(reading, likelihood) * (1 - reading.unread / 2)
            notes = () if self._reader.available else ("no_reading",)
            if reading.upside_down:
                notes = (*notes, "upside_down")
            if reading.unread:
                notes = (*notes, "unreadable")
            if confidence < LOW_CONFIDENCE:
                notes = (*notes, "low_confidence")
            # The summary claims no absence of words where nobody could read.
            summary = summarise(reading, looked=self._reader.available and not reading.unread)
            captions.append(
                Caption(
                    summary=summary,
                    text=text or summary,
                    words=_words(reading.listed_blocks),
                    model=self.name,
                    checkpoint=self.checkpoint,
                    options=options,
                    seconds={"read": seconds, "generate": share},
                    confidence=confidence,
                    notes=notes,
                )
            )
        return captions


@dataclass(frozen=True, slots=True)
class Loaded:
    """A describer with what belongs to it."""

    describer: Describer
    options: DecodingOptions  # that it was made for
    translate: Translate | None  # of the English words read; None: they stay as they are


def load_captioner(name: str, models_dir: Path, *, threads: int | None = None) -> Captioner:
    """The named model, ready to caption. ``threads``: of torch; None leaves its own choice.

    Raises:
        UnknownModel: no model has that name; the message says which there are, or how to get it.
        EngineError: it is damaged, or of an architecture this version does not know.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    parsed = ModelName.parse(name)
    loaded = LOADERS[type(parsed.model)](parsed.model, parsed.translation, models_dir)
    return Captioner(
        name,
        checkpoint_hash(models_dir, parsed),
        loaded.describer,
        Reader(),
        loaded.options,
        translate=loaded.translate,
    )


# Modules are imported only where they are needed: torchvision and transformers take seconds.


def _load_checkpoint(model: CheckpointFolder, translation: HubModel | None, models_dir: Path) -> Loaded:
    folder = find_checkpoint(models_dir, model)
    config = read_config(folder)
    build = ARCHITECTURES.get(config.architecture)
    if build is None:
        raise CheckpointError(
            f"{model.name} is of the architecture {config.architecture!r}, which this version does not know "
            f"(it knows {', '.join(ARCHITECTURES)}): use a newer version of the program."
        )
    try:
        describer = build(folder, config)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError.not_whole(model.name, error) from error
    return Loaded(describer, config.decoding, _translate(translation, models_dir))


def _load_objects(_: CocoObjects, translation: HubModel | None, models_dir: Path) -> Loaded:
    from inference.captioners.coco_objects.describer import ObjectDescriber  # noqa: PLC0415

    describer = ObjectDescriber.load(models_dir)
    return Loaded(describer, describer.options, _translate(translation, models_dir))


def _load_hub(model: HubModel, translation: HubModel | None, models_dir: Path) -> Loaded:
    from inference.captioners.hub.describer import HubDescriber  # noqa: PLC0415

    describer = HubDescriber.load(HubSettings.of(model, translation), models_dir)
    translator = describer.translator
    return Loaded(describer, describer.options, None if translator is None else translator.translate)


def _translate(model: HubModel | None, models_dir: Path) -> Translate | None:
    if model is None:
        return None
    from inference.captioners.hub.translation import Translator  # noqa: PLC0415

    return Translator(model, models_dir).translate


# What loads a model of each kind of inference.checkpoints.names.KINDS.
LOADERS: dict[type[Model], Callable[[Any, HubModel | None, Path], Loaded]] = {
    CheckpointFolder: _load_checkpoint,
    CocoObjects: _load_objects,
    HubModel: _load_hub,
}


def _confidence(reading: Reading, likelihood: float) -> float:
    """0..1: how sure the reading is where there is any (weighted by letters), else how sure the wording."""
    wording = float(torch.tensor(likelihood).exp())
    letters = [len(line.text) for line in reading.lines]
    if not letters:
        return wording
    read = sum(line.confidence * n for line, n in zip(reading.lines, letters, strict=True)) / sum(letters)
    return float(read * wording**0.25)


def _words(blocks: Sequence[Block]) -> tuple[str, ...]:
    """A string a block; the account that wrote a post before its first one."""
    said = ((f"@{block.author}" if block.author else "", block.text) for block in blocks)
    return tuple(text for texts in said for text in texts if text)
