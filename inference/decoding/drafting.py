"""Speculative decoding: a quick decoder drafts what may come next, the exact one reads the draft at once.

What a large decoder does for one token is to fetch its weights; for five tokens it fetches them once too. So
a rounded copy of it guesses some tokens ahead, as the search would choose them: the likeliest, or one drawn
with the random number that the search will draw with. All of them are read in one step: wherever the search
says what was guessed, its logits are there already. They are the exact decoder's own.

Leviathan, Kalman & Matias 2023, Fast inference from transformers via speculative decoding (arXiv:2211.17192);
Stern, Shazeer & Uszkoreit 2018, Blockwise parallel decoding (arXiv:1811.03115), whose acceptance of equal
tokens this is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from inference.decoding.decoder import Decoder, Foreseen, Logits, State, Step, Tokens

__all__ = ["Drafted", "Drafting", "Guesser", "Reader"]

_MOST = 10  # tokens of a draft


class Reader(Decoder, Protocol):
    """A decoder that reads several tokens at once."""

    vocabulary: int  # logits a row

    def feed(self, state: State, tokens: Tokens, lengths: Tokens) -> State:
        """See :class:`inference.decoding.decoder.Prompted`."""

    def read(self, state: State, tokens: Tokens) -> tuple[Logits, Sequence[State]]:
        """Logits (r, t, V) of what follows each of ``tokens`` (r, t), and the t states after each."""

    def room(self, state: State) -> float:
        """How many tokens it can still take; infinity where it has no limit."""


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
class Drafting:
    """The exact decoder's state, what it was fed since the search began, and guesses, each behind the one
    before."""

    exact: State
    fed: Tokens  # (1, t): the first of them stands before the sentence
    guesses: tuple[_Guess, ...] = ()


@dataclass(slots=True)
class _Pace:
    """How far is guessed, which changes nothing of what is said."""

    ahead: int = _MOST // 2  # tokens of the next draft, unless it stops before
    blur: float = 0.0  # by how much logits of the two lately differed, root mean square


class Drafted:
    """The decoder ``exact``, with guesses by ``quick``, which takes its states, for a search of one row. Of
    several rows (beams, several pictures) nothing is guessed: they share the weights as they are."""

    def __init__(self, exact: Reader, quick: Guesser) -> None:
        self._exact = exact
        self._quick = quick
        self._pace = _Pace()
        self.vocabulary = exact.vocabulary

    def start(self, memory: Any) -> State:
        """See :class:`inference.decoding.decoder.Decoder`."""
        return self._exact.start(memory)

    def feed(self, state: State, tokens: Tokens, lengths: Tokens) -> State:
        """See :class:`inference.decoding.decoder.Prompted`."""
        return self._exact.feed(state, tokens, lengths)

    def step(self, state: State, tokens: Tokens) -> tuple[Logits, State]:
        """See :class:`inference.decoding.decoder.Decoder`."""
        return self._exact.step(state, tokens)

    def foreseeing(self, state: State, foreseen: Foreseen) -> tuple[Step, Drafting]:
        """See :class:`inference.decoding.decoder.Foreseeing`."""
        return partial(self._step, foreseen), Drafting(state, np.empty((1, 0), np.int64))

    def _step(self, foreseen: Foreseen, state: Drafting, tokens: Tokens) -> tuple[Logits, Drafting]:
        fed, guesses = np.append(state.fed, tokens[None], 1), state.guesses
        if not guesses or guesses[0].token != tokens[0]:
            # As far as it proves right, as assisted generation of Hugging Face's library has it.
            pace = self._pace
            pace.ahead = max(pace.ahead - 1, 1) if guesses else min(pace.ahead + 2, _MOST)
            guesses = self._read(state.exact, fed, foreseen)
        first, *others = guesses
        return first.logits, Drafting(first.state, fed, tuple(others))

    def _read(self, state: State, fed: Tokens, foreseen: Foreseen) -> tuple[_Guess, ...]:
        """The token that was said, the last of ``fed``, and guesses behind it, up to one that may well be
        wrong: where the two likeliest are closer to each other than the quick decoder's logits are to the
        exact ones."""
        before, after, drafted = fed.shape[1] - 1, state, []
        for _ in range(int(min(self._pace.ahead, self._exact.room(state) - 1))):
            logits, after = self._quick.step(after, fed[:, -1])
            drafted.append(logits)
            guess = foreseen(fed[:, 1:], logits)
            if guess is None:
                break
            token, lead = guess
            fed = np.append(fed, [[token]], 1)
            if lead < self._pace.blur:
                break
        row = fed[:, before:]
        found, states = self._exact.read(state, row)
        if drafted:
            # Of the first alone: behind a wrong guess the others follow what will not be said.
            self._pace.blur = float(np.square(drafted[0] - found[:, 0]).mean() ** 0.5)
        return tuple(
            _Guess(token, found[:, i], after)
            for i, (token, after) in enumerate(zip(row[0].tolist(), states, strict=True))
        )
