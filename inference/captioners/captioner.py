"""A picture to a :class:`Caption`: read the words, describe, put both together. Built from a checkpoint
by name.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from inference.captioners.chat.judging import Judgement, judged
from inference.captioners.encoder_decoder.graphs.captioner import GraphCaptioner
from inference.captioners.encoder_decoder.graphs.folder import find as find_graphs
from inference.captioners.meme_small.describer import SlotDescriber
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.folder import find_checkpoint
from inference.checkpoints.format import CheckpointError, making, read_config
from inference.checkpoints.hub import HubSettings
from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import CheckpointFolder, CocoObjects, HubModel, Model, ModelName, ServedModel
from inference.common.blas import one_thread
from inference.common.extras import require
from inference.common.processors import available, be_patient
from inference.common.stages import collected, stage
from inference.common.types import Answer, Asked, CannotTalk, Caption, DecodingOptions
from inference.graphs.session import GraphError
from inference.reading.foreign import Translate, in_russian
from inference.reading.lines import Block
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from inference.reading.summary import summarise
from inference.russian.lexicon import load_dictionaries

logger = logging.getLogger(__name__)

LOW_CONFIDENCE = 0.35
_BLANK = (64, 64)  # pixels of the picture that warms up


class Describer(Protocol):
    """What each architecture brings: descriptions for pictures and what was read on them."""

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """One description an upright RGB picture, and the mean log-probability of its tokens."""


def _encoder_decoder(folder: Path, config: CheckpointConfig, threads: int | None) -> Describer:
    """The presets of the originals: by their graphs where those are there and of these weights, else by
    PyTorch."""
    what = f"The model {folder.name}"
    try:
        graphs = find_graphs(folder)
        if graphs is not None:
            return GraphCaptioner(folder, graphs, config, threads=threads)
    except GraphError as error:
        logger.warning("PyTorch runs the model %s: %s", folder.name, error)
        what = f"{what}, whose graphs cannot be used ({str(error).removesuffix('.')}),"
    _set_up_torch(what, threads)
    from inference.captioners.encoder_decoder.model import CaptionModel  # noqa: PLC0415

    return CaptionModel.load(folder, config)


@runtime_checkable
class Talker(Describer, Protocol):
    """A describer that may answer questions, too."""

    talks: bool  # it does

    def answer(self, image: Image.Image, reading: Reading, asked: Asked, options: DecodingOptions) -> str:
        """What is said to a question about an upright RGB picture."""


@runtime_checkable
class Elsewhere(Talker, Protocol):
    """A talker that asks another machine: what it says is there later, and done in another thread."""

    @property
    def likelihood(self) -> float:
        """Mean log-probability of the tokens, of all that it says."""

    def begin(
        self, image: Image.Image, reading: Reading, asked: Asked | None, options: DecodingOptions
    ) -> Future[str]:
        """As :meth:`Talker.answer`; None: the description of an upright RGB picture. Who cancels it has the
        other machine stop.
        """


# By the name in config.json, what makes a describer of the checkpoint's folder, its config, and the number of
# processor threads (None: all that it may use).
ARCHITECTURES: dict[str, Callable[[Path, CheckpointConfig, int | None], Describer]] = {
    "meme-small": SlotDescriber.load,
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
        self._talker = describer if isinstance(describer, Talker) and describer.talks else None
        self._reader = reader
        self._translate = translate

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None = None) -> list[Caption]:
        """One caption for each upright RGB picture; None = the options of the checkpoint. One that does not
        talk describes in Russian, whatever they say.

        ``seconds`` holds "read" (this picture's own) and "generate" (the batch's, shared evenly; what
        translating takes is in it), and the parts of both.
        """
        if not images:
            return []
        options = self._for_model(options)
        readings: list[Reading] = []
        taken: list[dict[str, float]] = []
        for image in images:
            reading, own = self._read(image)
            readings.append(reading)
            taken.append(own)
        with collected() as together, stage("generate"):
            images = [reading.upright(image) for image, reading in zip(images, readings, strict=True)]
            texts, likelihoods = self._describer.describe(images, readings, options)
            texts = self._translated(texts, readings, options)
        shares = {name: spent / len(images) for name, spent in together.items()}
        return [
            self._caption(reading, text, likelihood, seconds | shares, options)
            for reading, text, likelihood, seconds in zip(readings, texts, likelihoods, taken, strict=True)
        ]

    def _caption(
        self,
        reading: Reading,
        text: str,
        likelihood: float,
        seconds: dict[str, float],
        options: DecodingOptions,
    ) -> Caption:
        """What is told of a picture that was read and described."""
        judgement = self._judged(text, reading, options)
        confidence = _confidence(reading, likelihood) * (1 - reading.unread / 2) * judgement.factor
        notes = (*self._notes(reading), *judgement.notes)
        if confidence < LOW_CONFIDENCE:
            notes = (*notes, "low_confidence")
        # The summary claims no absence of words where nobody could read.
        summary = summarise(reading, looked=self._reader.available and not reading.unread)
        return Caption(
            summary=summary,
            text=text or summary,
            words=_words(reading.listed_blocks),
            model=self.name,
            checkpoint=self.checkpoint,
            options=options,
            seconds=seconds,
            confidence=confidence,
            notes=notes,
        )

    def _translated(
        self, texts: list[str], readings: Sequence[Reading], options: DecodingOptions
    ) -> list[str]:
        """The descriptions, where they are to be in Russian, with what English words mean."""
        if self._translate is None or options.language != "ru":
            return texts
        return in_russian(texts, readings, self._translate)

    def ask(self, image: Image.Image, asked: Asked, options: DecodingOptions | None = None) -> Answer:
        """The answer to a question about an upright RGB picture.

        ``seconds`` as of :meth:`caption`. Raises CannotTalk.
        """
        if self._talker is None:
            raise CannotTalk.of(self.name)
        options = self._for_model(options)
        reading, seconds = self._read(image)
        with collected() as own, stage("generate"):
            text = self._talker.answer(reading.upright(image), reading, asked, options)
        return self._answer(reading, text, seconds | own, options)

    def _answer(
        self, reading: Reading, text: str, seconds: dict[str, float], options: DecodingOptions
    ) -> Answer:
        """What is told of a picture that was read and asked about."""
        notes = (*self._notes(reading), *self._judged(text, reading, options).notes)
        return Answer(text, self.name, self.checkpoint, seconds=seconds, notes=notes)

    def _for_model(self, options: DecodingOptions | None) -> DecodingOptions:
        """The options, as far as the model knows what they ask for."""
        options = self.options if options is None else options.of_model(self.options)
        return options if self._talker else replace(options, language="ru", question="")

    def _read(self, image: Image.Image) -> tuple[Reading, dict[str, float]]:
        """What stands on a picture, and the seconds that it took, by stage."""
        with collected() as seconds, stage("read"), one_thread():
            reading = self._reader.read(image)
        return reading, seconds

    def _judged(self, text: str, reading: Reading, options: DecodingOptions) -> Judgement:
        """Of one that talks; the others quote what was read, in the language that they know."""
        return judged(text, reading, options.language) if self._talker else Judgement()

    def _notes(self, reading: Reading) -> tuple[str, ...]:
        """Codes of what must be known of the reading, see :class:`Caption`."""
        told = {
            "no_reading": not self._reader.available,
            "upside_down": reading.upside_down,
            "unreadable": reading.unread > 0,
        }
        return tuple(code for code, holds in told.items() if holds)

    def warm_up(self) -> None:
        """Reads the dictionaries and runs the networks once, so that the first picture waits for neither."""
        load_dictionaries()
        self.caption([Image.new("RGB", _BLANK, "white")], replace(self.options, min_tokens=0, max_tokens=1))


class PatientCaptioner(Captioner):
    """One whose describer asks another machine, and need not be waited for: pictures are read one after the
    other, and are there at once.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str,
        describer: Elsewhere,
        reader: Reader,
        options: DecodingOptions,
        *,
        translate: Translate | None = None,
    ) -> None:
        super().__init__(name, checkpoint, describer, reader, options, translate=translate)
        self._elsewhere = describer
        # What is left to do when an answer comes must not hold up the others that are waited for.
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="finishing")

    def warm_up(self) -> None:
        """What is done here: the other machine is not asked, nor waited for."""
        load_dictionaries()
        self._read(Image.new("RGB", _BLANK, "white"))

    def begin(
        self, image: Image.Image, asked: Asked | None, options: DecodingOptions | None = None
    ) -> Future[Caption | Answer]:
        """As :meth:`ask`; None: as :meth:`caption`. The picture is read now, the rest done in other threads.
        Who cancels it has the other machine stop.
        """
        options = self._for_model(options)
        reading, seconds = self._read(image)
        begun = time.perf_counter()
        said = self._elsewhere.begin(reading.upright(image), reading, asked, options)

        def make() -> Caption | Answer:
            took = seconds | {"generate": time.perf_counter() - begun}
            if asked is not None:
                return self._answer(reading, said.result(), took, options)
            (text,) = self._translated([said.result()], [reading], options)
            return self._caption(reading, text, self._elsewhere.likelihood, took, options)

        made: Future[Caption | Answer] = Future()

        def finish() -> None:
            if not made.set_running_or_notify_cancel():
                return
            try:
                made.set_result(make())
            except Exception as error:
                made.set_exception(error)

        about = copy_context()  # whose picture it is, for the logs
        made.add_done_callback(lambda _: said.cancel())
        said.add_done_callback(lambda _: self._finisher.submit(about.run, finish))
        return made


@dataclass(frozen=True, slots=True)
class Loaded:
    """A describer with what belongs to it."""

    describer: Describer
    options: DecodingOptions  # that it was made for
    translate: Translate | None  # of the English words read; None: they stay as they are


def load_captioner(name: str, models_dir: Path, *, threads: int | None = None) -> Captioner:
    """The named model, ready to caption. ``threads``: of the processor; None: all that it may use.

    Raises:
        UnknownModel: no model has that name; the message says which there are, or how to get it.
        NotInstalled: PyTorch would run it, and is not installed.
        EngineError: it is damaged, or of an architecture this version does not know.
    """
    parsed = ModelName.parse(name)
    loaded = LOADERS[type(parsed.model)](parsed.model, parsed.translation, models_dir, threads)
    checkpoint, reader = checkpoint_hash(models_dir, parsed), Reader(threads=threads)
    describer, options, translate = loaded.describer, loaded.options, loaded.translate
    if isinstance(describer, Elsewhere):
        return PatientCaptioner(name, checkpoint, describer, reader, options, translate=translate)
    return Captioner(name, checkpoint, describer, reader, options, translate=translate)


# What PyTorch runs is imported only where it is needed: it takes seconds, and may not be installed.


def _set_up_torch(what: str, threads: int | None) -> None:
    """Raises NotInstalled, about ``what``, where PyTorch and what comes with it are not installed."""
    require("models", what)
    be_patient()
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads or available())  # by itself it knows of no quota


def _load_checkpoint(
    model: CheckpointFolder, translation: HubModel | None, models_dir: Path, threads: int | None
) -> Loaded:
    folder = find_checkpoint(models_dir, model)
    config = read_config(folder)
    build = ARCHITECTURES.get(config.architecture)
    if build is None:
        raise CheckpointError(
            f"{model.name} is of the architecture {config.architecture!r}, which this version does not know "
            f"(it knows {', '.join(ARCHITECTURES)}): use a newer version of the program."
        )
    with making(model.name):
        describer = build(folder, config, threads)
    return Loaded(describer, config.decoding, _translate(translation, models_dir, threads))


def _load_objects(
    model: CocoObjects, translation: HubModel | None, models_dir: Path, threads: int | None
) -> Loaded:
    _set_up_torch(f"The model {model.name}", threads)
    from inference.captioners.coco_objects.describer import ObjectDescriber  # noqa: PLC0415

    describer = ObjectDescriber.load(models_dir)
    return Loaded(describer, describer.options, _translate(translation, models_dir, threads))


def _load_hub(model: HubModel, translation: HubModel | None, models_dir: Path, threads: int | None) -> Loaded:
    _set_up_torch(f"The model {model.name}", threads)
    from inference.captioners.hub.describer import HubDescriber  # noqa: PLC0415

    describer = HubDescriber.load(HubSettings.of(model, translation), models_dir)
    translator = describer.translator
    return Loaded(describer, describer.options, None if translator is None else translator.translate)


def _load_served(
    model: ServedModel, translation: HubModel | None, models_dir: Path, threads: int | None
) -> Loaded:
    from inference.captioners.chat.describer import ServedDescriber  # noqa: PLC0415 - so does the client

    describer = ServedDescriber.load(model)
    return Loaded(describer, describer.options, _translate(translation, models_dir, threads))


def _translate(model: HubModel | None, models_dir: Path, threads: int | None) -> Translate | None:
    if model is None:
        return None
    _set_up_torch(f"The translation model {model}", threads)
    from inference.captioners.hub.translation import Translator  # noqa: PLC0415

    return Translator(model, models_dir).translate


# What loads a model of each kind of inference.checkpoints.names.KINDS.
LOADERS: dict[type[Model], Callable[[Any, HubModel | None, Path, int | None], Loaded]] = {
    CheckpointFolder: _load_checkpoint,
    CocoObjects: _load_objects,
    HubModel: _load_hub,
    ServedModel: _load_served,
}


def _confidence(reading: Reading, likelihood: float) -> float:
    """0..1: how sure the reading is where there is any (weighted by letters), else how sure the wording."""
    wording = math.exp(likelihood)
    letters = [len(line.text) for line in reading.lines]
    if not letters:
        return wording
    read = sum(line.confidence * n for line, n in zip(reading.lines, letters, strict=True)) / sum(letters)
    return float(read * wording**0.25)


def _words(blocks: Sequence[Block]) -> tuple[str, ...]:
    """A string a block; the account that wrote a post before its first one."""
    said = ((f"@{block.author}" if block.author else "", block.text) for block in blocks)
    return tuple(text for texts in said for text in texts if text)
