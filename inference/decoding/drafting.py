"""Speculative decoding: a quick decoder drafts what may come next, the exact one reads the draft at once.

What a decoder of hundreds of megabytes does for one token is to fetch its weights; for five tokens it fetches
them once too. So a rounded copy of it guesses some tokens ahead, greedily, and all of them are read in one
step: wherever the search says what was guessed, its logits are there already. They are the exact decoder's
own, whatever the search and its processors make of them.

Leviathan, Kalman & Matias 2023, Fast inference from transformers via speculative decoding (arXiv:2211.17192);
Stern, Shazeer & Uszkoreit 2018, Blockwise parallel decoding (arXiv:1811.03115), whose acceptance of equal
tokens this is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from inference.decoding.decoder import Decoder, Logits, Reorderable, State, Tokens, reorder, rows_of
from inference.decoding.distributions import top

__all__ = ["Drafted", "Drafting", "Guesser", "Reader"]

_MOST = 10  # tokens of a draft


class Reader(Decoder, Protocol):
    """A decoder that reads several tokens at once."""

    vocabulary: int  # logits a row

    def feed(self, state: State, tokens: Tokens, lengths: Tokens) -> State:
        """See :class:`inference.decoding.decoder.Prompted`."""

    def read(self, state: State, tokens: Tokens) -> tuple[Logits, Sequence[State]]:
        """Logits (r, t, V) of what follows each of ``tokens`` (r, t), and the t states after each."""

    def room(self, state: State) -> int:
        """How many tokens it can still take."""


class Guesser(Protocol):
    """What goes on from a decoder's states."""

    def step(self, state: State, tokens: Tokens) -> tuple[Logits, State]:
        """See :class:`inference.decoding.decoder.Decoder`."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """A token that was drafted; what follows it, (1, V), and the state after it."""

    token: int
    logits: Logits
    state: State


@dataclass(frozen=True, slots=True)
class Drafting(Reorderable):
    """The exact decoder's state, and guesses behind it, each behind the one before."""

    exact: State
    guesses: tuple[_Guess, ...] = ()

    @property
    def rows(self) -> int:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return rows_of(self.exact)

    def reorder(self, index: Any) -> Self:
        """See :class:`inference.decoding.decoder.Reorderable`; nothing is guessed for several rows."""
        return type(self)(reorder(self.exact, index))


class Drafted:
    """The decoder ``exact``, with guesses by ``quick``, which takes its states; for one row at a time. Of
    several rows (beams, several pictures) nothing is guessed: they share the weights as they are.

    ``ends``: tokens that end a sentence, behind which nothing is guessed.
    """

    def __init__(self, exact: Reader, quick: Guesser, ends: Collection[int] = ()) -> None:
        self._exact = exact
        self._quick = quick
        self._ends = frozenset(ends)
        # Both only decide how far is guessed, never what is said.
        self._ahead = _MOST // 2  # tokens of the next draft, unless it stops before
        self._blur = 0.0  # by how much logits of the two lately differed, root mean square
        self.vocabulary = exact.vocabulary

    def start(self, memory: Any) -> Drafting:
        """See :class:`inference.decoding.decoder.Decoder`."""
        return Drafting(self._exact.start(memory))

    def feed(self, state: Drafting, tokens: Tokens, lengths: Tokens) -> Drafting:
        """See :class:`inference.decoding.decoder.Prompted`."""
        return Drafting(self._exact.feed(state.exact, tokens, lengths))

    def step(self, state: Drafting, tokens: Tokens) -> tuple[Logits, Drafting]:
        """See :class:`inference.decoding.decoder.Decoder`."""
        if len(tokens) > 1:
            logits, after = self._exact.step(state.exact, tokens)
            return logits, Drafting(after)
        guesses = state.guesses
        if not guesses or guesses[0].token != tokens[0]:
            # As far as it proves right, as assisted generation of Hugging Face's library has it.
            self._ahead = max(self._ahead - 1, 1) if guesses else min(self._ahead + 2, _MOST)
            guesses = self._read(state.exact, tokens)
        first, *others = guesses
        return first.logits, Drafting(first.state, tuple(others))

    def _read(self, state: State, tokens: Tokens) -> tuple[_Guess, ...]:
        """The token (1,) that was said, and guesses behind it, up to one that may well be wrong: where the
        two likeliest are closer to each other than the quick decoder's logits are to the exact ones."""
        row, after, drafted = [tokens], state, []
        for _ in range(min(self._ahead, self._exact.room(state) - 1)):
            logits, after = self._quick.step(after, row[-1])
            drafted.append(logits)
            (values,), likeliest = top(logits, 2)
            row.append(likeliest[:, 0])
            if values[0] - values[1] < self._blur or int(likeliest[0, 0]) in self._ends:
                break
        found, states = self._exact.read(state, np.stack(row, 1))
        if drafted:
            # Of the first alone: behind a wrong guess the others follow what will not be said.
            self._blur = float(np.square(drafted[0] - found[:, 0]).mean() ** 0.5)
        return tuple(
            _Guess(int(token[0]), found[:, i], after)
            for i, (token, after) in enumerate(zip(row, states, strict=True))
        )
