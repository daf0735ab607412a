"""The architectures that can learn from feedback, behind one interface.

A student is a checkpoint whose encoder is frozen: every picture is seen once and kept. Everything else about
it is the architecture's own: what a text becomes, which parameters learn, what goes into the checkpoint.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.meme_small.concept_table import UNKNOWN, ConceptTable, vocabulary_files
from inference.captioners.meme_small.describer import SlotDescriber
from inference.captioners.meme_small.faithful import LAYOUT
from inference.captioners.meme_small.memory import SlotMemory
from inference.captioners.meme_small.model import MemeSmall
from inference.checkpoints import manifest
from inference.checkpoints.card_file import CARD_FILE
from inference.checkpoints.config import CheckpointConfig, Lineage
from inference.checkpoints.folder import CONFIG_FILE, SCALES, WEIGHTS_FILE
from inference.checkpoints.format import TRAINING_FILE, CheckpointError, making, read_config, read_training
from inference.checkpoints.modules import save_checkpoint
from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED
from inference.reading.features import MAX_LINES
from inference.reading.reading import Reading
from inference.reading.summary import summarise
from inference.russian.lexicon import is_known, script
from inference.tokenizers.slots import EOS, PAD, SlotTokenizer, split_words
from train_scripts.meme_small.align import align
from train_scripts.meme_small.data import pad, target_ids
from train_scripts.meme_small.networks import MemeSmallNetwork, TorchParts, as_tensors, learning_parts
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.metrics.quotes import unquoted_parts


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as the frozen encoder sees it: ``memory`` is of a batch of one."""

    memory: Any
    reading: Reading


@dataclass(frozen=True, slots=True)
class Example:
    """A text for a picture, ready to be scored; ``target`` is the architecture's own."""

    seen: Seen
    target: Any


@dataclass(frozen=True, slots=True)
class Scores:
    """Of n examples: ``likelihood`` (n,) log-probability of the text, ``tokens`` (n,) how many it has,
    ``beside`` (n,) what else the architecture learns from it, as a loss (0 where nothing).
    """

    likelihood: Tensor
    tokens: Tensor
    beside: Tensor


Kind = Literal["correction", "caption", "original"]
"""What a text is: by a person who looked at the picture and at what the model said of it; by a model; or a
description of the original training data, whose author may tell more than this model can see."""


class Student(ABC):
    """A checkpoint that learns. ``module`` is in eval mode between the steps."""

    module: nn.Module
    new_words: tuple[str, ...] = ()  # that it had no way of saying before

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder = folder
        self.config = config
        self.training = read_training(folder)
        self.options = config.decoding

    @abstractmethod
    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """As the checkpoint describes pictures for the bot."""

    @abstractmethod
    def see(self, image: Image.Image, reading: Reading) -> Seen:
        """One upright RGB picture with what was read on it."""

    @abstractmethod
    def example(self, seen: Seen, text: str, kind: Kind) -> Example | None:
        """A text to learn, or to compare; None where it holds nothing this model could say. To be called
        before the student learns anything: it is still its parent then.
        """

    @abstractmethod
    def same(self, one: Example, other: Example) -> bool:
        """Whether two texts are one to this model."""

    @abstractmethod
    def score(self, examples: Sequence[Example]) -> Scores:
        """With gradients, unless the caller turns them off."""

    @abstractmethod
    def groups(self, rate: float) -> list[dict[str, Any]]:
        """The parameters that learn, as torch's optimizers take them, by the rate of each."""

    def captions(self, images: Sequence[Image.Image], readings: Sequence[Reading]) -> list[str]:
        """What the bot would say of the pictures."""
        texts, _ = self.describe(images, readings, self.options)
        return [text or summarise(reading) for text, reading in zip(texts, readings, strict=True)]

    def grown_config(self) -> CheckpointConfig:
        """The parent's, with the sizes that this model has by now."""
        return self.config

    def tables(self) -> dict[str, str]:
        """Texts of the files beside the weights that are not the parent's any more, by their names."""
        return {}

    def save(self, folder: Path, lineage: Lineage) -> None:
        """The checkpoint: the parent's files with these weights, and without its scores.

        Raises CheckpointError when it cannot be written.
        """
        former = {CONFIG_FILE, WEIGHTS_FILE, TRAINING_FILE, manifest.FILE, CARD_FILE}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.iterdir():
                if path.is_file() and path.name not in former:
                    shutil.copyfile(path, folder / path.name)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint cannot be written to {folder} ({error}): make room there and start again."
            ) from error
        half, int8 = _stored(self.folder / WEIGHTS_FILE)
        training = replace(self.training, scores={}, lineage=lineage)
        save_checkpoint(
            folder, self.module, self.grown_config(), training, tables=self.tables(), half=half, int8=int8
        )


def load_student(folder: Path, corrections: Sequence[str] = ()) -> Student:
    """The checkpoint of a folder, to continue its training. ``corrections``: texts that people wrote; a model
    whose vocabulary is a list of words gets those that it lacks.

    Raises CheckpointError when it is damaged, UserError when its architecture does not learn here.
    """
    config = read_config(folder)
    build = STUDENTS.get(config.architecture)
    if build is None:
        raise UserError(
            f"{folder.name} is of the architecture {config.architecture!r}, which cannot learn from "
            f"feedback: choose a model of {' or '.join(STUDENTS)}."
        )
    with making(folder.name):
        return build(folder, config, corrections)


class SlotStudent(Student):
    """The shipped architecture. Its captions are cut to what its concept detectors support, so a correction
    teaches two things: to see on this picture what it names, and to say its words.

    Of what a correction does not name, the detectors are to see no more what they would have told; all else
    on its picture, and everything on those of the original data, is to be as probable as before (Li & Hoiem
    2016, arXiv:1606.09282). Without that, or with more weight on what is there than on what is not, a few
    steps make them see everything everywhere; and if all that is not named were absent, less and less on any
    other picture. The decoder learns to say what the detectors support by now, as it will be held to.

    Words and concepts that corrections bring are added to the vocabulary.
    """

    module: MemeSmallNetwork

    def __init__(self, folder: Path, config: CheckpointConfig, corrections: Sequence[str] = ()) -> None:
        super().__init__(folder, config)
        self._describer = SlotDescriber.load(folder, self.config, parts=learning_parts)
        self.module = cast(TorchParts, self._describer.model.parts).network
        self._lemmas = ContentLemmas()
        self.model = self._describer.model = self._grown(self._describer.model, corrections)
        self.module.eval()
        self._places = {concept: i for i, concept in enumerate(self.model.concepts)}
        self._layout = {i for concept, i in self._places.items() if concept in LAYOUT}
        self._start = self.model.tokenizer.levels[self._describer.level]

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        return self._describer.describe(images, readings, options)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        return [
            {"params": list(self.module.detector.parameters()), "lr": rate},
            {"params": list(self.module.decoder.parameters()), "lr": _DECODER * rate},
        ]

    @torch.no_grad()
    def see(self, image: Image.Image, reading: Reading) -> Seen:
        pooled = self.model.parts.see([image])
        memory, probabilities = self.model.memory([image], [reading], pooled)
        others = (pooled, self.model.spelt([reading]), probabilities)
        return Seen(_SlotSight(as_tensors(memory), *(torch.from_numpy(one) for one in others)), reading)

    @torch.no_grad()
    def example(self, seen: Seen, text: str, kind: Kind) -> Example | None:
        named = [self._places[lemma] for lemma in self._lemmas.of(text) if lemma in self._places]
        labels = seen.memory.probabilities[0].clone()
        ids = target_ids(align(text, seen.reading.lines[:MAX_LINES]), self.model.tokenizer)
        if kind == "correction":
            ids = self.model.cutter(ids, self._layout | set(named))
        else:
            ids = self._supported(ids, labels)
        if not ids:
            return None
        if kind == "correction":
            gate = self._describer.gate.bolder()
            labels[labels >= min(gate.listed, gate.acting, gate.certain)] = 0.0
        if kind != "original":
            labels[named] = 1.0
        start = self._start if kind != "original" else self._level(seen, ids)
        return Example(seen, _SlotTarget(start, tuple(ids), labels, grows=kind == "correction"))

    def _supported(self, ids: Sequence[int], probabilities: Tensor) -> list[int]:
        """What the decoder may say of the text on a picture of these probabilities (concepts,)."""
        sure = (probabilities >= self._describer.gate.certain).nonzero().flatten().tolist()
        return self.model.cutter(ids, self._layout | set(sure))

    def same(self, one: Example, other: Example) -> bool:
        return bool(one.target.ids == other.target.ids)

    def score(self, examples: Sequence[Example]) -> Scores:
        targets: list[_SlotTarget] = [one.target for one in examples]
        sight: _SlotSight = _stack([one.seen.memory for one in examples])
        concepts = self.module.detector(sight.pooled, sight.memory.layout, sight.spelt)
        # The decoder is told what the detectors see by now, as it will be in service.
        probabilities = concepts.detach().sigmoid()
        highest = probabilities.topk(sight.memory.concepts.shape[1], dim=1)
        memory = replace(sight.memory, concepts=highest.indices, probabilities=highest.values)
        tokens = pad([self._tokens(one, own) for one, own in zip(targets, probabilities, strict=True)])
        logits = self.module.decoder(memory, tokens[:, :-1])
        likelihood, count = _likelihood(logits, tokens[:, 1:].masked_fill(tokens[:, 1:] == 0, IGNORED))
        labels = torch.stack([one.labels for one in targets])
        beside = functional.binary_cross_entropy_with_logits(concepts, labels, reduction="none")
        return Scores(likelihood, count, _CONCEPTS * beside.mean(1))

    def _tokens(self, target: _SlotTarget, probabilities: Tensor) -> list[int]:
        """The text with its start and end; padding where nothing of it can be said yet, which teaches
        nothing.
        """
        ids = self._supported(target.ids, probabilities) if target.grows else target.ids
        return [target.start, *ids, self.model.tokenizer.id(EOS if ids else PAD)]

    def grown_config(self) -> CheckpointConfig:
        return replace(self.config, decoder=self.module.decoder.config.to_dict())

    def tables(self) -> dict[str, str]:
        return vocabulary_files(self.model.tokenizer, self.model.table)

    def _level(self, seen: Seen, ids: Sequence[int]) -> int:
        """The start token under which the parent finds this text likeliest: the detail that it has."""
        levels = self.model.tokenizer.levels
        unused = torch.zeros(len(self.model.concepts))
        scores = self.score([Example(seen, _SlotTarget(level, tuple(ids), unused)) for level in levels])
        return levels[int(scores.likelihood.argmax())]

    # --- words that it lacks ---

    def _grown(self, model: MemeSmall, corrections: Sequence[str]) -> MemeSmall:
        """The model with the words and concepts of the corrections in its vocabulary.

        A word of the dictionary is taken from one correction; any other one, which may be a slip of the pen,
        from two. Words of other alphabets are left out: a caption has them in quotations only.
        """
        tokenizer = model.tokenizer
        counts = Counter(
            word for text in corrections for word in {*split_words(" ".join(unquoted_parts(text)))}
        )
        words = tuple(
            word
            for word, count in sorted(counts.items())
            if word not in tokenizer.ids and script(word) == "cyrillic" and (count >= 2 or is_known(word))
        )
        known = set(model.concepts)
        named = {
            word: self._lemmas.of(word)
            for word in counts
            if word in words or model.word_concepts[tokenizer.id(word)] == UNKNOWN
        }
        concepts = tuple(sorted({lemma for lemmas in named.values() for lemma in lemmas} - known))
        if not words and not concepts:
            return model
        self.new_words = words
        config = replace(
            self.module.decoder.config,
            vocabulary=len(tokenizer) + len(words),
            concepts=len(model.concepts) + len(concepts),
        )
        larger = SlotTokenizer(
            (*tokenizer.words, *words), {**tokenizer.casing, **_capitals(corrections, words)}
        )
        names = (*model.concepts, *concepts)
        table = ConceptTable.of_words(larger, names, self._lemmas.of)
        grown = MemeSmallNetwork(config, table, self.config.encoder)
        stored = self.module.state_dict()
        for name, tensor in grown.state_dict().items():
            old = stored[name]
            if old.shape == tensor.shape:
                tensor.copy_(old)
            else:
                # New rows begin as the mean of the old ones: a word of no vector would stand out at once.
                tensor[: len(old)] = old
                tensor[len(old) :] = old.mean(0, keepdim=True)
        self.module = grown
        return grown.model(larger, table)


_CONCEPTS = 30.0  # weight of the concepts beside the words: ten times that of the recipe, for so few pictures
# The decoder's rate, in parts of the detectors'. They bring nine tenths of what is gained on the corrected
# pictures and do no harm elsewhere; at their rate a few dozen texts make the decoder stutter on others.
_DECODER = 0.25


@dataclass(frozen=True, slots=True)
class _SlotSight:
    """A picture before the detectors, which learn, and what the decoder was told of it by the parent's."""

    memory: SlotMemory[Tensor]
    pooled: Tensor  # (1, 2, width)
    spelt: Tensor  # (1, concepts)
    probabilities: Tensor  # (1, concepts), the parent's


@dataclass(frozen=True, slots=True)
class _SlotTarget:
    start: int
    ids: tuple[int, ...]  # words and slots
    labels: Tensor  # (concepts,) 0..1: what is to be seen on the picture
    # Whether the ids are more than may be said at first: the decoder learns those that the detectors support
    # by now. What it writes is held to that in service too, so the rest would only teach it to get stuck.
    grows: bool = False


def _capitals(texts: Sequence[str], words: Collection[str]) -> dict[str, str]:
    """Those of the words that people write with a capital within a sentence, as they write them."""
    found: dict[str, str] = {}
    for text in texts:
        before = "."
        for token in text.split():
            word = token.strip('.,:;!?()«»"“”…')
            if word.lower() in words and word != word.lower() and before[-1] not in '.!?:"…«':
                found[word.lower()] = word
            before = token
    return found


class PresetStudent(Student):
    """The presets: an encoder and a decoder of :class:`inference.captioners.encoder_decoder.CaptionModel`."""

    module: CaptionModel

    def __init__(self, folder: Path, config: CheckpointConfig, _corrections: Sequence[str] = ()) -> None:
        super().__init__(folder, config)
        self.module = CaptionModel.load(folder, self.config)

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        return self.module.describe(images, readings, options)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        learning = [one for one in self.module.decoder.parameters() if one.requires_grad]
        return [{"params": learning, "lr": rate}]

    @torch.no_grad()
    def see(self, image: Image.Image, reading: Reading) -> Seen:
        return Seen(self.module.encode([image]), reading)

    def example(self, seen: Seen, text: str, kind: Kind) -> Example | None:  # noqa: ARG002 - all are learnt alike
        return Example(seen, text) if text.strip() else None

    def same(self, one: Example, other: Example) -> bool:
        return bool(one.target == other.target)

    def score(self, examples: Sequence[Example]) -> Scores:
        losses, counts = [], []
        for one in examples:  # each alone: the model's loss of a batch is one number
            batch = self.module.batch([one.target], [one.seen.reading])
            batch = self.module.led_by_detectors(one.seen.memory, batch)
            losses.append(self.module.loss(one.seen.memory, batch))
            counts.append((batch.targets != IGNORED).sum())
        tokens = torch.stack(counts)
        likelihood = -torch.stack(losses) * tokens
        return Scores(likelihood, tokens, torch.zeros_like(likelihood))


STUDENTS: dict[str, Callable[[Path, CheckpointConfig, Sequence[str]], Student]] = {
    "meme-small": SlotStudent,
    "encoder-decoder": PresetStudent,
}


def _likelihood(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """logits (n, t, v), targets (n, t), IGNORED where nothing counts -> log-probabilities, counts (n,)."""
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -losses.view(targets.shape).sum(1), (targets != IGNORED).sum(1)


def _stack(memories: Sequence[Any]) -> Any:
    """Batches of one to one batch: tensors are padded with zeros (False) to the largest, and whatever holds
    tensors (a tuple, a dataclass) is taken apart and put together again.
    """
    first = memories[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        shape = [max(sizes) for sizes in zip(*(one.shape[1:] for one in memories), strict=True)]
        whole = first.new_zeros(len(memories), *shape)
        for i, one in enumerate(memories):
            whole[i][tuple(slice(size) for size in one.shape[1:])] = one[0]
        return whole
    if is_dataclass(first) and not isinstance(first, type):
        return replace(
            first,
            **{field.name: _stack([getattr(one, field.name) for one in memories]) for field in fields(first)},
        )
    return tuple(_stack(parts) for parts in zip(*memories, strict=True))


def _stored(weights: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether the file stores its floats as float16, and the names of its tensors of 8 bits."""
    with safe_open(weights, framework="pt") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
    counts = Counter(kinds.values())
    int8 = tuple(name for name, kind in kinds.items() if kind == "I8")
    return counts["F16"] > sum(
        kind == "F32" and not name.endswith(SCALES) for name, kind in kinds.items()
    ), int8
