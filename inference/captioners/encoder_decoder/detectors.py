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
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.captioners.encoder_decoder.known_words import (
    LOST,
    OTHER_KINDS,
    OUTSIDE,
    KnownWords,
    Stand,
    Walk,
)
from inference.captioners.encoder_decoder.settings import DetectorSettings
from inference.decoding.decoder import Logits, Tokens

Array: TypeAlias = NDArray[np.float32]

PREFIX = "detectors."  # of their tensors' names in a checkpoint
_LOW, _HIGH = 0.003, 0.95  # a linear classifier may leave 0..1, where there are no log-odds
_UNKNOWN = 30.0  # what no caption spells is not said
UNSAID = -_UNKNOWN / 2  # what a logit is lowered by more is not said, whatever the decoder makes of it


@dataclass(frozen=True)
class WordDetectors:
    """``weight`` (k, d), ``bias`` (k,): of k lemmas, over the encoder's vector of length 1; ``prior`` (k,):
    the share of the captions that name each; ``words``: which tokens spell words of which lemma.

    Raises ValueError where these do not fit together.
    """

    weight: Array
    bias: Array
    prior: Array
    words: KnownWords
    settings: DetectorSettings

    def __post_init__(self) -> None:
        count, lemmas = self.settings.count, self.words.lemmas
        shapes = [len(self.weight), *self.bias.shape, *self.prior.shape]
        if shapes != [count] * 3 or not ((lemmas >= 0) & (lemmas < count + OTHER_KINDS)).all():
            raise ValueError(f"The word detectors are not {count}: take all files from one checkpoint.")

    @classmethod
    def of(cls, weights: Mapping[str, NDArray[Any]], settings: DetectorSettings) -> Self:
        """Those of a checkpoint's tensors, see :meth:`tensors`. Raises KeyError for one that is missing."""
        weight, bias, prior = (
            weights[PREFIX + name].astype(np.float32) for name in ("weight", "bias", "prior")
        )
        lemmas = weights[f"{PREFIX}lemmas"]
        if settings.nodes == 0:
            return cls(weight, bias, prior, KnownWords.of_tokens(lemmas), settings)
        tree = (weights[PREFIX + name] for name in ("tokens", "depths", "counts"))
        return cls(weight, bias, prior, KnownWords(lemmas, *tree), settings)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """By the names that they have in a checkpoint, without the prefix; of a tree only where it is more
        than the vocabulary."""
        words = self.words
        numbers = {"weight": self.weight, "bias": self.bias, "prior": self.prior, "lemmas": words.lemmas}
        if self.settings.nodes:
            numbers |= {"tokens": words.tokens, "depths": words.depths, "counts": words.counts}
        return numbers

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
        others = np.array([-settings.undetected, 0, -_UNKNOWN, 0], np.float32)
        adds = np.concatenate([raised, np.broadcast_to(others, (len(raised), OTHER_KINDS))], 1)
        return SayWhatIsSeen(adds, self._walk, marks)

    @property
    def words_parts(self) -> frozenset[int]:
        """The tokens that words are spelled with."""
        begin = self.words.lemmas[self.words.depths == 0]
        no_mark = np.flatnonzero(begin != self.settings.count + OTHER_KINDS - 1)
        return frozenset(np.union1d(no_mark, self.words.joining).tolist())

    @cached_property
    def _walk(self) -> Walk:
        return Walk(self.words, self.settings.count)


@dataclass(frozen=True, slots=True)
class SayWhatIsSeen:
    """Adds to the logits what each of the n pictures ``adds`` to those of a word, (n, k + 4), by its lemma.

    ``walk``: over the words that the tokens spell. A word gets it over its tokens, however many: each as
    much as the words are worth that it leads to, less what those were that were open before it. What was said
    needs no more help: it is raised once; where tokens are pieces, no word is said twice in a row. Between
    the ``marks`` of quotations nothing is added: words are those that were read.
    """

    adds: Array
    walk: Walk
    marks: tuple[int, int] | None
    # Of a picture and what was said of it: most tokens name nothing that is raised.
    _begun: dict[tuple[int, frozenset[int]], NDArray[Any]] = field(default_factory=dict, init=False)
    # Of each sentence that was looked at: nearly every one goes on from another by a token.
    _stands: dict[tuple[int, ...], Stand] = field(default_factory=dict, init=False)

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        each = len(logits) // len(self.adds)
        return logits + np.stack([self._added(said, row // each) for row, said in enumerate(tokens.tolist())])

    def _added(self, said: list[int], picture: int) -> Array:
        """To the logits of what follows a sentence: (V,)."""
        walk = self.walk
        if self.marks is not None and said.count(self.marks[0]) > said.count(self.marks[1]):
            return np.zeros(len(walk.roots), np.float32)
        place, before, named = self._stand(tuple(said))
        adds = self.adds[picture].astype(np.float64)
        raised = frozenset(lemma for lemma in named if adds[lemma] > 0)
        if place < 0:
            added = self._words(picture, raised, OUTSIDE).copy()
            if place == LOST:
                added[walk.joining] = 0
        else:
            adds[[*raised]] = 0
            again = before if walk.joining else OUTSIDE
            lemma = walk.unknown if place == again else int(walk.lemmas[place])
            given, tokens, means = walk.onwards(place, adds, again)
            after = raised | {lemma} if adds[lemma] > 0 else raised
            added = self._words(picture, after, place) + (adds[lemma] - given)
            added[walk.joining] = adds[walk.unknown] - given
            added[tokens] = means - given
        lead: Array = added.astype(np.float32)
        return lead

    def _stand(self, said: tuple[int, ...]) -> Stand:
        if said not in self._stands:
            stood = self._stands.get(said[:-1])
            self._stands[said] = self.walk.further(stood, said[-1]) if stood else self.walk.follow(said)
        return self._stands[said]

    def _words(self, picture: int, raised: frozenset[int], said: int) -> NDArray[Any]:
        """To words that begin, (V,), where of the lemmas that the picture raises these were said; ``said``:
        the node of the word directly before, or OUTSIDE."""
        adds = self.adds[picture].astype(np.float64)
        adds[[*raised]] = 0
        if (picture, raised) not in self._begun:
            self._begun[picture, raised] = self.walk.begun(adds)
        begun = self._begun[picture, raised]
        # A word of one token is kept from following itself by NoStammer.
        return self.walk.without(begun, adds, said) if said >= 0 and self.walk.joining else begun


def bounded(seen: NDArray[np.floating[Any]]) -> Array:
    """What linear classifiers yield as probabilities that have log-odds."""
    likely: Array = np.clip(seen, _LOW, _HIGH).astype(np.float32)
    return likely


def _log_odds(likely: Array) -> Array:
    odds: Array = np.log(likely / (1 - likely))
    return odds
