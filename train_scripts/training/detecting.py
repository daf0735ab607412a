"""Fitting word detectors to the captions of train: ridge regression, in closed form.

Of each of the most frequent content lemmas one linear function of what the frozen encoder yields, fitted by
least squares to whether a caption names it (Hoerl & Kennard 1970); see
:mod:`inference.captioners.encoder_decoder.detectors` for what they do.

A decoder that learns with them is to meet detectors as unsure as they will be of new pictures, while those
that were fitted to a picture know what its caption names. So it is led there by others, fitted to the
pictures of the other folds (Wolpert 1992, Stacked generalization; Breiman 1996, Stacked regressions).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from inference.captioners.encoder_decoder.detectors import WordDetectors, bounded
from inference.captioners.encoder_decoder.known_words import OTHER_KINDS, KnownWords
from inference.captioners.encoder_decoder.model import CaptionModel, array_of
from inference.captioners.encoder_decoder.settings import DetectorSettings
from inference.checkpoints.format import read_config, read_training
from inference.common.errors import UserError
from inference.tokenizers.base import Tokenizer, slots_of
from inference.tokenizers.words import WordTokenizer
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.metrics.quotes import unquoted_parts
from train_scripts.training.building import start_from_checkpoint
from train_scripts.training.config import DetectorConfig, TrainConfig
from train_scripts.training.data import TrainRow, hash_of
from train_scripts.training.inputs import Inputs, read_stage
from train_scripts.training.seeing import pool_of

__all__ = ["CANNOT", "apart", "can_detect", "detectors_of", "fit", "fit_checkpoint", "vectors_of"]

CANNOT = "Detectors need a frozen encoder that yields one vector (global): leave detectors out of the config."
_TOGETHER = 64  # pictures
_WORD = re.compile(r" ?[^\W\d_]+(?:-[^\W\d_]+)*")  # a space before it belongs to its first piece
_LETTER = re.compile(r"[^\W\d_]|\ufffd")


def can_detect(model: CaptionModel) -> bool:
    """Whether its encoder yields one vector a picture, always the same."""
    frozen = not any(parameter.requires_grad for parameter in model.encoder.parameters())
    return model.encoder.yields == "global" and frozen


def detectors_of(inputs: Inputs, name: str, config: DetectorConfig) -> WordDetectors:
    """Those for the model of ``inputs``, fitted to the stage's training rows. Raises UserError where
    :func:`can_detect` says no, or no caption names anything."""
    model, rows = inputs.model, inputs.data[name].train
    if not can_detect(model):
        raise UserError(CANNOT)
    vectors, tokenizer = vectors_of(inputs, name), model.speaker.cutter()
    return fit(vectors, rows, tokenizer, model.decoder.vocabulary, config)


def vectors_of(inputs: Inputs, name: str) -> NDArray[np.float32]:
    """(n, d): what the encoder yields for the pictures of the stage's n training rows."""
    rows, stage = inputs.data[name].train, inputs.config.stages[name]
    with torch.inference_mode():
        seen = [_array(inputs.memory(rows[i : i + _TOGETHER], stage)) for i in range(0, len(rows), _TOGETHER)]
    return np.concatenate(seen)


def apart(
    vectors: NDArray[np.float32], rows: Sequence[TrainRow], config: DetectorConfig
) -> dict[Path, NDArray[np.float32]]:
    """By picture, (k,), 0..1: how likely each lemma of :func:`fit` is to detectors that were fitted as there,
    but to the pictures of the other folds alone. ``vectors`` as of :func:`fit`. Raises UserError where
    there is but one picture.
    """
    names = {row.picture: row.file_name for row in rows}
    if len(names) < 2:
        raise UserError("One picture has no other folds: leave detectors.before out of the config.")
    pictures = sorted(names, key=lambda picture: hash_of("fold", names[picture]))
    fold_of = {picture: place % config.folds for place, picture in enumerate(pictures)}
    folds = np.array([fold_of[row.picture] for row in rows])
    _, targets = _named(rows, config)
    unit = _of_length_1(vectors)
    found: dict[Path, NDArray[np.float32]] = {}
    for fold in range(min(config.folds, len(names))):
        own = folds == fold
        weight, bias = _ridge(unit[~own], targets[~own], config.ridge)
        likely = bounded(unit[own] @ weight.T + bias)
        found |= dict(zip((row.picture for row in itertools.compress(rows, own)), likely, strict=True))
    return found


def fit(
    vectors: NDArray[np.float32],
    rows: Sequence[TrainRow],
    tokenizer: Tokenizer,
    vocabulary: int,
    config: DetectorConfig,
) -> WordDetectors:
    """``vectors`` (n, d): what the encoder yields for the pictures of n rows. Raises UserError where no
    caption names anything."""
    chosen, targets = _named(rows, config)
    weight, bias = _ridge(_of_length_1(vectors), targets, config.ridge)
    lemmas = _Lemmas(ContentLemmas(), {lemma: i for i, lemma in enumerate(chosen)})
    if isinstance(tokenizer, WordTokenizer):
        words = _whole_words(tokenizer, vocabulary, lemmas)
    else:
        words = _words_of_pieces(rows, tokenizer, vocabulary, lemmas, config)
    nodes = len(words.lemmas) if len(words.lemmas) > vocabulary else 0
    return WordDetectors(
        weight.astype(np.float32),
        bias.astype(np.float32),
        targets.mean(0).astype(np.float32),
        words,
        DetectorSettings(len(chosen), config.strength, config.least, config.undetected, nodes),
    )


@dataclass(frozen=True, slots=True)
class _Lemmas:
    """Which detector a word has, told as
    :class:`inference.captioners.encoder_decoder.known_words.KnownWords` does."""

    content: ContentLemmas
    place: Mapping[str, int]

    def of(self, word: str) -> int:
        count = len(self.place)
        return next((self.place.get(lemma, count) for lemma in self.content.of(word)), count + 1)


def _whole_words(tokenizer: WordTokenizer, vocabulary: int, lemmas: _Lemmas) -> KnownWords:
    of_tokens = np.full(vocabulary, lemmas.of(""), np.int32)
    of_tokens[: len(tokenizer)] = [lemmas.of(word) for word in tokenizer.words]
    return KnownWords.of_tokens(of_tokens)


def _words_of_pieces(
    rows: Sequence[TrainRow],
    tokenizer: Tokenizer,
    vocabulary: int,
    lemmas: _Lemmas,
    config: DetectorConfig,
) -> KnownWords:
    """Those that come more than ``seldom`` times outside quotations, as they are written there.

    Words that name nothing and come less than ``usual`` times, in whatever case, are taken for content: what
    undetected content loses would else be theirs.
    """
    counts = Counter(
        found[0] for row in rows for part in unquoted_parts(row.text) for found in _WORD.finditer(part)
    )
    known = {word: count for word, count in counts.items() if count > config.seldom}
    whole: Counter[str] = Counter()
    for word, count in known.items():
        whole[word.strip().lower()] += count
    content, other, unknown, mark = range(len(lemmas.place), len(lemmas.place) + OTHER_KINDS)
    words = {}
    for word, count in known.items():
        lemma = lemmas.of(word)
        named = content if lemma == other and whole[word.strip().lower()] < config.usual else lemma
        words[tuple(tokenizer.encode(word))] = (named, count)
    pieces = {*range(len(tokenizer))} - {*slots_of(tokenizer)}
    # A piece that ends within a letter has the sign of what is no letter.
    others = [
        unknown if token in pieces and _LETTER.search(tokenizer.decode([token])) else mark
        for token in range(vocabulary)
    ]
    return KnownWords.of_pieces(words, others, len(lemmas.place))


def _named(rows: Sequence[TrainRow], config: DetectorConfig) -> tuple[list[str], NDArray[np.float64]]:
    """The k lemmas that have a detector, and which of them the captions of n rows name, (n, k) of 0 and 1."""
    content = ContentLemmas()
    named = [content.of(row.text) for row in rows]
    # Of equally frequent ones the first in the alphabet: a set has no order.
    counts = Counter(lemma for lemmas in named for lemma in sorted(lemmas))
    chosen = sorted(counts, key=lambda lemma: (-counts[lemma], lemma))[: config.lemmas]
    if not chosen:
        raise UserError("No caption of the last stage names anything: leave detectors out of the config.")
    return chosen, np.array([[lemma in lemmas for lemma in chosen] for lemmas in named], np.float64)


def _of_length_1(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return unit


def _ridge(
    unit: NDArray[np.float64], targets: NDArray[np.float64], ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (k, d) and biases (k,) of the targets (n, k) on vectors (n, d)."""
    mean, prior = unit.mean(0), targets.mean(0)
    centred = unit - mean
    gram = centred.T @ centred + ridge * np.eye(centred.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (targets - prior)).T
    return weight, prior - weight @ mean


def fit_checkpoint(folder: Path, config: TrainConfig) -> None:
    """Gives the checkpoint in ``folder`` the detectors that a run of ``config`` would have given it.

    Raises UserError, one sentence, for whatever is missing or does not fit.
    """
    if config.detectors is None:
        raise UserError(
            "The config says nothing of detectors: write them into it, or add --set detectors={}."
        )
    model, stored, record = start_from_checkpoint(folder), read_config(folder), read_training(folder)
    last = config.detectors.before or [*config.stages][-1]
    pool = pool_of(config.workers)
    try:
        data = {last: read_stage(config, last)}
        inputs = Inputs(config, data, model, readings=None, accelerator=Accelerator(), pool=pool)
        inputs.see([last])
        model.detect_with(detectors_of(inputs, last, config.detectors))
    finally:
        pool.shutdown(cancel_futures=True)
    training = {key: value for key, value in record.training.items() if key != "scores_without_words"}
    training["detectors"] = config.detectors.model_dump(mode="json")
    record = replace(record, training=training, scores={})
    model.save(folder, stored.decoding, record, preset=stored.preset, half=config.half, int8=config.int8)


def _array(memory: object) -> NDArray[np.float32]:
    if not isinstance(memory, torch.Tensor):
        raise TypeError("One vector a picture is one tensor.")
    return array_of(memory)
