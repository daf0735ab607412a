"""Self-critical training (Rennie et al. 2017, arXiv:1612.00563): a caption that the model drew is made
likelier where it is worth more than its rivals, and less likely where it is worth less.

The baseline of a sample is what the others of its picture are worth on average (Luo 2020, "A Better Variant
of Self-Critical Sequence Training", arXiv:2003.09971): of K samples with the rewards r the i-th counts
``r_i`` less the mean of the others. Its loss is that times the cross-entropy of its tokens: the gradient is
the one of REINFORCE (Williams 1992), and a batch of samples with such weights is a batch like any other. It
is of the distribution that they were drawn from: with what word detectors add, without what may not be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.speaking import lines_of
from inference.common.types import DecodingOptions
from inference.decoders.base import CaptionDecoder
from inference.encoders.base import Memory
from train_scripts.training.config import RewardConfig
from train_scripts.training.data import hash_of
from train_scripts.training.inputs import Inputs, Part
from train_scripts.training.rewards import Rewards

__all__ = ["advantages", "can_be_rewarded", "sampled"]


def can_be_rewarded(model: CaptionModel) -> bool:
    """Whether the loss of what it says is its negative log-likelihood, and one token alone ends it."""
    return type(model.decoder).loss is CaptionDecoder.loss and not model.special.ends


def advantages(rewards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of (n, K), K >= 2 samples of each of n pictures: how much more each is worth than the others are on
    average."""
    others: NDArray[np.float64] = (rewards.sum(1, keepdims=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def sampled(
    part: Part,
    inputs: Inputs,
    rewards: Rewards,
    config: RewardConfig,
    *,
    options: DecodingOptions,
    seed: str,
) -> tuple[list[Part], float]:
    """What a step learns from in place of ``part``: samples of its pictures, drawn from the model as it is
    now, and the part itself where the likelihood of its captions counts as well. And what the samples are
    worth on average.

    ``options``: of which the greatest length is taken; ``seed``: of all that is drawn.
    """
    model = inputs.model
    drawing = DecodingOptions(strategy="sample", max_tokens=options.max_tokens)
    places: list[int] = []
    batches: list[Batch] = []
    texts: list[str] = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        seen = inputs.moved(part.memory)
        if isinstance(seen, Tensor) and seen.dim() == 4:
            seen = model.encoder(seen)
        for told in (True, False):  # a sentence is held to what was read, or to nothing
            once = [place for place, read in enumerate(part.read) if read is told]
            if not once:
                continue
            own = [place for place in once for _ in range(config.samples)]
            readings = inputs.readings_of([part.rows[place] for place in own]) if told else None
            seeds = [hash_of(seed, place, number) for number, place in enumerate(own)]
            memory = _taken(seen, own)
            leading = inputs.leading([part.rows[place] for place in own], memory)
            generated = model.generate(memory, drawing, readings, seeds=seeds, leading=leading)
            texts += model.speaker.sentences(generated, readings)[0]
            # What may not be said is no part of what a sample was drawn from.
            lines = lines_of(readings, len(own))
            rules = model.speaker.rules(model.decoder.vocabulary, lines, read=readings is not None)
            batches.append(model.led(model.batch_of(generated, readings), [*leading, *rules]))
            places += own
    model.train(was_training)
    worth = rewards(texts, [str(part.rows[place].picture) for place in places])
    gains = advantages(worth.reshape(-1, config.samples)).reshape(-1).tolist()
    parts = [
        Part(
            _taken(part.memory, places),
            Batch.together(batches, model.special.pad),
            tuple(gain * part.weights[place] for gain, place in zip(gains, places, strict=True)),
            tuple(part.rows[place] for place in places),
            tuple(part.read[place] for place in places),
        )
    ]
    if config.likelihood:
        parts.append(replace(part, weights=tuple(config.likelihood * weight for weight in part.weights)))
    return parts, float(worth.mean())


def _taken(memory: Memory, places: Sequence[int]) -> Memory:
    """The rows of a memory, in that order, with repetitions."""
    if isinstance(memory, Tensor):
        return memory[list(places)]
    return tuple(part[list(places)] for part in memory)
