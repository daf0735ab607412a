"""Word detectors: what a picture shows, one linear classifier a lemma over the encoder's vector, and how they
lead what is said of it.

A decoder that learnt from few captions says what pictures show often, whatever this one shows. The detectors
of its content lemmas are fitted beside it (Fang et al. 2015, From captions to visual concepts and back,
arXiv:1411.4952; Gan et al. 2017, Semantic compositional networks, arXiv:1611.08002); here the decoder is not
trained for them: the logit of a word is raised by how much likelier the picture makes its lemma.

Imports nothing heavy: the graphs and PyTorch share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.captioners.encoder_decoder.settings import DetectorSettings
from inference.decoding.decoder import Logits, Tokens

Array: TypeAlias = NDArray[np.float32]

PREFIX = "detectors."  # of their tensors' names in a checkpoint
_LOW, _HIGH = 0.003, 0.95  # a linear classifier may leave 0..1, where there are no log-odds


@dataclass(frozen=True, slots=True)
class WordDetectors:
    """``weight`` (k, d), ``bias`` (k,): of k lemmas, over the encoder's vector of length 1; ``prior`` (k,):
    the share of the captions that name each; ``lemmas`` (V,), int32: the detector of each token, k for a
    content word that has none, k + 1 for any other token.

    Raises ValueError where these do not fit together.
    """

    weight: Array
    bias: Array
    prior: Array
    lemmas: NDArray[np.int32]
    settings: DetectorSettings

    def __post_init__(self) -> None:
        count = self.settings.count
        shapes = [len(self.weight), *self.bias.shape, *self.prior.shape]
        if shapes != [count] * 3 or not ((self.lemmas >= 0) & (self.lemmas <= count + 1)).all():
            raise ValueError(f"The word detectors are not {count}: take all files from one checkpoint.")

    @classmethod
    def of(cls, weights: Mapping[str, NDArray[Any]], settings: DetectorSettings) -> Self:
        """Those of a checkpoint's tensors, see :meth:`tensors`. Raises KeyError for one that is missing."""
        weight, bias, prior = (
            weights[PREFIX + name].astype(np.float32) for name in ("weight", "bias", "prior")
        )
        return cls(weight, bias, prior, weights[f"{PREFIX}lemmas"].astype(np.int32), settings)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """By the names that they have in a checkpoint, without the prefix."""
        return {"weight": self.weight, "bias": self.bias, "prior": self.prior, "lemmas": self.lemmas}

    def likely(self, vectors: Array) -> Array:
        """How likely the captions of n pictures name each lemma, (n, k), 0..1; ``vectors`` (n, d): what the
        encoder yields for them."""
        length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return bounded((vectors / length) @ self.weight.T + self.bias)

    def processor(self, vectors: Array, marks: tuple[int, int] | None) -> SayWhatIsSeen:
        """What leads the sentences of n pictures; ``marks``: the tokens around a quotation, if there are."""
        return self.leading(self.likely(vectors), marks)

    def leading(self, likely: Array, marks: tuple[int, int] | None) -> SayWhatIsSeen:
        """:meth:`processor` where it is known how ``likely`` each lemma is, (n, k)."""
        settings = self.settings
        raised = settings.strength * (_log_odds(likely) - _log_odds(np.clip(self.prior, _LOW, _HIGH)))
        raised = np.where(likely < settings.least, -settings.undetected, raised)
        others = np.broadcast_to(np.array([-settings.undetected, 0], np.float32), (len(raised), 2))
        return SayWhatIsSeen(np.concatenate([raised, others], 1), self.lemmas, marks)


@dataclass(frozen=True, slots=True)
class SayWhatIsSeen:
    """Adds to the logits what each of the n pictures ``adds`` to those of a lemma, (n, k + 2), by the
    ``lemmas`` (V,) of the tokens. What was said already needs no more help: it is raised once. Between the
    ``marks`` of quotations nothing is added: words are those that were read."""

    adds: Array
    lemmas: NDArray[np.int32]
    marks: tuple[int, int] | None

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        adds = self.adds.repeat(len(logits) // len(self.adds), 0)
        said = np.zeros(adds.shape, np.bool_)
        np.put_along_axis(said, self.lemmas[tokens], values=True, axis=1)
        added = np.where(said, np.minimum(adds, 0), adds)[:, self.lemmas]
        if self.marks is not None:
            opens, closes = self.marks
            inside = (tokens == opens).sum(1) > (tokens == closes).sum(1)
            added = np.where(inside[:, None], np.float32(0), added)
        return logits + added


def bounded(seen: NDArray[np.floating[Any]]) -> Array:
    """What linear classifiers yield as probabilities that have log-odds."""
    likely: Array = np.clip(seen, _LOW, _HIGH).astype(np.float32)
    return likely


def _log_odds(likely: Array) -> Array:
    odds: Array = np.log(likely / (1 - likely))
    return odds
