"""A recurrent decoder of graphs, as :mod:`inference.decoding.search` drives it."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from inference.captioners.encoder_decoder.graphs.parts import HEAD, LIFT, NEW, START, STEP, Parts
from inference.decoding.decoder import Logits, Tokens
from inference.graphs.session import Array

WORDS = "decoder.embedding.weight"


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """Dimension 0 is the batch in all of it."""

    parts: dict[str, Array]  # hidden and cell, keys and values, as the graphs name them
    pending: Array | None  # (n, input): fed at the next step in place of the token


class RecurrentGraphs:
    """See :class:`inference.decoders.recurrent.RecurrentDecoder`, whose settings ``settings`` are."""

    def __init__(self, parts: Parts, settings: Any) -> None:
        self._words = parts.rows(WORDS, settings["embedding"])
        self._first_input = settings["feed"] == "first_input"
        self._start, self._step, self._head = (parts.graph(name) for name in (START, STEP, HEAD))
        self._lift = parts.graph_if_there(LIFT)
        self.vocabulary = len(self._words)

    def quicker(self, parts: Parts) -> Self:
        """It with the step and the head of these."""
        quick = copy(self)
        quick._step, quick._head = (parts.graph(name) for name in (STEP, HEAD))
        return quick

    def start(self, memory: tuple[Array, ...]) -> RecurrentState:
        """See :class:`inference.decoding.decoder.Decoder`. ``memory``: one array, (n, d) or (n, p, d)."""
        parts = self._start.named(memory=memory[0])
        state = RecurrentState(parts, parts.pop("pending", None))
        if self._first_input and state.pending is not None:
            return self._advanced(state, state.pending)
        return state

    def feed(self, state: RecurrentState, tokens: Tokens, lengths: Tokens) -> RecurrentState:
        """See :class:`inference.decoding.decoder.Prompted`."""
        for t in range(tokens.shape[1]):
            after = self._advanced(state, self._input(state, tokens[:, t]))
            goes = (lengths > t)[:, None, None]
            kept: dict[str, Array] = {
                name: np.where(goes, after.parts[name], state.parts[name])
                for name in ("hidden", "cell")
                if name in after.parts
            }
            state = replace(after, parts={**after.parts, **kept})
        return state

    def step(self, state: RecurrentState, tokens: Tokens) -> tuple[Logits, RecurrentState]:
        """See :class:`inference.decoding.decoder.Decoder`."""
        state = self._advanced(state, self._input(state, tokens))
        (logits,) = self._head(top=state.parts["hidden"][:, -1])
        return logits, state

    def read(self, state: RecurrentState, tokens: Tokens) -> tuple[Logits, list[RecurrentState]]:
        """See :class:`inference.decoding.drafting.Reader`: the head, the largest of its matrices, at once."""
        states = []
        for column in tokens.T:
            state = self._advanced(state, self._input(state, column))
            states.append(state)
        tops = np.stack([state.parts["hidden"][:, -1] for state in states], 1)
        (logits,) = self._head(top=tops.reshape(-1, tops.shape[2]))
        return logits.reshape(*tokens.shape, -1), states

    def room(self, state: RecurrentState) -> float:  # noqa: ARG002 - see Reader
        """See :class:`inference.decoding.drafting.Reader`."""
        return math.inf

    def _input(self, state: RecurrentState, tokens: Tokens) -> Array:
        if state.pending is not None:
            return state.pending
        words = self._words(tokens)
        return words if self._lift is None else self._lift(x=words)[0]

    def _advanced(self, state: RecurrentState, x: Array) -> RecurrentState:
        changed = self._step.named(x=x, **state.parts)
        after = {name.removeprefix(NEW): part for name, part in changed.items()}
        return RecurrentState({**state.parts, **after}, None)
