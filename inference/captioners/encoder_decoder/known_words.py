"""The words that a decoder's tokens spell, as a tree: what a token is worth by the words that it leads to.

Where each token is a word, the tree is flat. Where tokens are pieces, a piece that may become several words
is worth what they are on average, each as often as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[Any]

OUTSIDE, LOST = -1, -2  # places in the tree: before a word, and in one that is not known
Stand: TypeAlias = tuple[int, int, frozenset[int]]
"""Where a sentence stands: the node of the word that it is in, OUTSIDE or LOST; the same of the word directly
before that one; and the lemmas of all words before."""
NOTHING_SAID: Stand = (OUTSIDE, OUTSIDE, frozenset())
OTHER_KINDS = 4  # of words that have no detector, see KnownWords


@dataclass(frozen=True, slots=True)
class KnownWords:
    """A tree (trie) of m nodes in the order of a walk: a node for each of V tokens, in their order, and
    behind each node those of the tokens that go on from it.

    ``lemmas`` (m,), whole numbers: the detector of the word that ends at each node, of k; or k: a content
    word that has none, k + 1: any other word, k + 2: no known word ends here, k + 3: no part of words, as
    marks are. ``tokens`` (m,), whole numbers: each node's; ``depths`` (m,), whole numbers: how many tokens
    of its word stand before it; ``counts`` (m,), float32: how often its word comes, 0 where none ends.

    Raises ValueError where these do not fit together.
    """

    lemmas: Numbers
    tokens: Numbers
    depths: Numbers
    counts: Numbers

    def __post_init__(self) -> None:
        sizes = {self.lemmas.shape, self.tokens.shape, self.depths.shape, self.counts.shape}
        begins = self.tokens[self.depths == 0] if len(sizes) == 1 else np.ones(1)
        walked = (np.diff(self.depths.astype(np.int64), prepend=-1) <= 1).all()
        if not walked or (begins != np.arange(len(begins))).any():
            raise ValueError(
                "The known words are no tree of the vocabulary: take all files from one checkpoint."
            )

    @classmethod
    def of_tokens(cls, lemmas: Numbers) -> Self:
        """Each of V tokens is a word; ``lemmas`` (V,)."""
        size = len(lemmas)
        return cls(lemmas, np.arange(size), np.zeros(size, np.uint8), np.ones(size, np.float32))

    @classmethod
    def of_pieces(
        cls, words: Mapping[tuple[int, ...], tuple[int, int]], others: Sequence[int], k: int
    ) -> Self:
        """``words``: the lemma and count of each word, by its tokens; ``others`` (V,): the lemma of each
        token that neither is nor begins one of them; ``k``: how many have a detector."""
        found: dict[tuple[int, ...], tuple[int, int]] = {(i,): (lemma, 1) for i, lemma in enumerate(others)}
        found |= {pieces[:size]: (k + 2, 0) for pieces in words for size in range(1, len(pieces))}
        found.update(words)
        paths = sorted(found)
        return cls(
            np.array([found[path][0] for path in paths], np.int16),
            np.array([path[-1] for path in paths], np.min_scalar_type(-len(others))),
            np.array([len(path) - 1 for path in paths], np.uint8),
            np.array([found[path][1] for path in paths], np.float32),
        )

    @classmethod
    def unfilled(cls, vocabulary: int, nodes: int) -> Self:
        """Of the sizes V and m, before its numbers are read."""
        tokens, depths = np.zeros(nodes, np.min_scalar_type(-vocabulary)), np.ones(nodes, np.uint8)
        tokens[:vocabulary], depths[:vocabulary] = np.arange(vocabulary), 0
        return cls(np.zeros(nodes, np.int32), tokens, depths, np.zeros(nodes, np.float32))

    @property
    def vocabulary(self) -> int:
        """V."""
        return int((self.depths == 0).sum())

    @property
    def joining(self) -> list[int]:
        """The tokens that go on with a word where one stands before them."""
        joining: list[int] = np.unique(self.tokens[self.depths > 0]).tolist()
        return joining


class Walk:
    """Known words made ready to be followed and weighed; ``k``: how many lemmas there are.

    ``lemmas`` (m,): as there; ``roots`` (V,): the node of each token where it comes first; ``joining``: as
    there; ``unknown``: the lemma of no known word.
    """

    def __init__(self, words: KnownWords, k: int) -> None:
        self.lemmas, self._counts = words.lemmas, words.counts.astype(np.float64)
        self.unknown, self._mark = k + 2, k + 3
        self.roots = np.flatnonzero(words.depths == 0)
        self._begin = np.add.reduceat(self._counts, self.roots)
        self._ends = [len(words.depths)] * len(words.depths)
        self._after: dict[int, dict[int, int]] = {}  # of a node, by token
        above: list[int] = []
        for node, (depth, token) in enumerate(zip(words.depths.tolist(), words.tokens.tolist(), strict=True)):
            for left in above[depth:]:
                self._ends[left] = node
            del above[depth:]
            if above:
                self._after.setdefault(above[-1], {})[token] = node
            above.append(node)
        self.joining = words.joining
        self._joining = frozenset(self.joining)

    def further(self, stand: Stand, token: int) -> Stand:
        """Where a sentence stands that stood there, behind one more token."""
        place, before, named = stand
        onwards = self._after.get(place, {}).get(token)
        if onwards is None and place != OUTSIDE and token in self._joining:
            return LOST, before, named
        if onwards is None:
            if place >= 0:
                named |= {int(self.lemmas[place])}
            before, onwards = place, int(self.roots[token])
        if self.lemmas[onwards] == self._mark:
            return OUTSIDE, OUTSIDE, named
        return onwards, before, named

    def follow(self, said: Sequence[int]) -> Stand:
        """Where a sentence stands."""
        return reduce(self.further, said, NOTHING_SAID)

    def begun(self, adds: Numbers) -> Numbers:
        """What is added to a word's logit, (k + 4,) by its lemma, as a mean over the words that each token
        begins: (V,), the log of the mean of exp."""
        worth = self._counts * _exp(adds)[self.lemmas]
        begun: Numbers = np.log(np.add.reduceat(worth, self.roots) / self._begin)
        return begun

    def without(self, begun: Numbers, adds: Numbers, node: int) -> Numbers:
        """``begun``, as of :meth:`begun`, where the word that ends at a node gets what no known word does."""
        first = int(np.searchsorted(self.roots, node, "right")) - 1
        own = self._own(int(self.roots[first]))
        left = begun.copy()
        left[first] = np.log((self._counts[own] * self._worth(own, adds, node)).sum() / self._begin[first])
        return left

    def onwards(self, place: int, adds: Numbers, unsaid: int) -> tuple[float, Numbers, Numbers]:
        """At a node: the mean that its token was given, as of :meth:`begun`, the tokens that go on from it,
        and the means of those; the word that ends at the node ``unsaid`` gets what no known word does."""
        own = self._own(place)
        counts = self._counts[own]
        worth = counts * self._worth(own, adds, unsaid)
        given = float(np.log(worth.sum() / counts.sum()))
        after = self._after.get(place, {})
        starts = np.array([*after.values()], np.int64) - place
        means = np.empty(0)
        if after:
            means = np.log(np.add.reduceat(worth, starts) / np.add.reduceat(counts, starts))
        return given, np.array([*after], np.int64), means

    def _own(self, node: int) -> slice:
        """A node and all behind it."""
        return slice(node, self._ends[node])

    def _worth(self, own: slice, adds: Numbers, unsaid: int) -> Numbers:
        """What the words of some nodes are worth each, one of which may be ``unsaid``."""
        powers = _exp(adds)
        worth: Numbers = powers[self.lemmas[own]]
        if own.start <= unsaid < own.stop:
            worth[unsaid - own.start] = powers[self.unknown]
        return worth


def _exp(adds: Numbers) -> Numbers:
    """Above 0 in 64 bits; what is lowered by more is not said either."""
    powers: Numbers = np.exp(np.maximum(adds, -700))
    return powers
