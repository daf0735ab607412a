"""Fitting word detectors to the captions of train: ridge regression, in closed form.

Of each of the most frequent content lemmas one linear function of what the frozen encoder yields, fitted by
least squares to whether a caption names it (Hoerl & Kennard 1970); see
:mod:`inference.captioners.encoder_decoder.detectors` for what they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from inference.captioners.encoder_decoder.detectors import WordDetectors
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import DetectorSettings
from inference.checkpoints.format import read_config, read_training
from inference.common.errors import UserError
from inference.tokenizers.words import WordTokenizer
from train_scripts.metrics.faithfulness import ContentLemmas
from train_scripts.training.building import start_from_checkpoint
from train_scripts.training.config import DetectorConfig, TrainConfig
from train_scripts.training.data import TrainRow
from train_scripts.training.inputs import Inputs, read_stage
from train_scripts.training.seeing import pool_of

__all__ = ["CANNOT", "can_detect", "detectors_of", "fit", "fit_checkpoint"]

CANNOT = (
    "Detectors need a vocabulary of words and a frozen encoder that yields one vector (global): leave "
    "detectors out of the config."
)
_TOGETHER = 64  # pictures


def can_detect(model: CaptionModel) -> bool:
    """Whether its tokens are words, and its encoder yields one vector a picture, always the same."""
    frozen = not any(parameter.requires_grad for parameter in model.encoder.parameters())
    return isinstance(model.tokenizer, WordTokenizer) and model.encoder.yields == "global" and frozen


def detectors_of(inputs: Inputs, name: str, config: DetectorConfig) -> WordDetectors:
    """Those for the model of ``inputs``, fitted to the stage's training rows. Raises UserError where
    :func:`can_detect` says no, or no caption names anything."""
    model, rows = inputs.model, inputs.data[name].train
    if not can_detect(model) or not isinstance(model.tokenizer, WordTokenizer):
        raise UserError(CANNOT)
    stage = inputs.config.stages[name]
    with torch.inference_mode():
        seen = [_array(inputs.memory(rows[i : i + _TOGETHER], stage)) for i in range(0, len(rows), _TOGETHER)]
    return fit(np.concatenate(seen), rows, model.tokenizer, model.decoder.vocabulary, config)


def fit(
    vectors: NDArray[np.float32],
    rows: Sequence[TrainRow],
    tokenizer: WordTokenizer,
    vocabulary: int,
    config: DetectorConfig,
) -> WordDetectors:
    """``vectors`` (n, d): what the encoder yields for the pictures of n rows. Raises UserError where no
    caption names anything."""
    content = ContentLemmas()
    named = [content.of(row.text) for row in rows]
    # Of equally frequent ones the first in the alphabet: a set has no order.
    counts = Counter(lemma for lemmas in named for lemma in sorted(lemmas))
    chosen = sorted(counts, key=lambda lemma: (-counts[lemma], lemma))[: config.lemmas]
    if not chosen:
        raise UserError("No caption of the last stage names anything: leave detectors out of the config.")
    place = {lemma: i for i, lemma in enumerate(chosen)}
    targets = np.array([[lemma in lemmas for lemma in chosen] for lemmas in named], np.float64)
    prior = targets.mean(0)
    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    mean = unit.mean(0)
    centred = unit - mean
    gram = centred.T @ centred + config.ridge * np.eye(centred.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (targets - prior)).T
    lemmas_of = np.full(vocabulary, len(chosen) + 1, np.int32)
    for token, word in enumerate(tokenizer.words):
        for lemma in content.of(word):
            lemmas_of[token] = place.get(lemma, len(chosen))
    return WordDetectors(
        weight.astype(np.float32),
        (prior - weight @ mean).astype(np.float32),
        prior.astype(np.float32),
        lemmas_of,
        DetectorSettings(len(chosen), config.strength, config.least, config.undetected),
    )


def fit_checkpoint(folder: Path, config: TrainConfig) -> None:
    """Gives the checkpoint in ``folder`` the detectors that a run of ``config`` would have given it.

    Raises UserError, one sentence, for whatever is missing or does not fit.
    """
    if config.detectors is None:
        raise UserError(
            "The config says nothing of detectors: write them into it, or add --set detectors={}."
        )
    model, stored, record = start_from_checkpoint(folder), read_config(folder), read_training(folder)
    last = [*config.stages][-1]
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
    array: NDArray[np.float32] = memory.float().cpu().numpy()
    return array
