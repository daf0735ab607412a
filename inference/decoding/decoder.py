"""What a search drives: a decoder, and the states that it moves between.

A decoder is anything with ``start(memory) -> state`` and ``step(state, tokens) -> (logits, state)``: a torch
module, or another runtime's session behind the same two methods. Its state is a pytree (dict, list, tuple,
dataclass) of tensors whose dimension 0 is the batch, so that beams can be reordered without knowing it.

Shapes: n pictures, r rows (of a beam search several a picture), V logits a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

State = Any


class Decoder(Protocol):
    """What :func:`inference.decoding.search.generate` drives."""

    def start(self, memory: Any) -> State:
        """The state before the first token, for the n pictures that ``memory`` holds."""

    def step(self, state: State, tokens: Tensor) -> tuple[Tensor, State]:
        """Logits (r, V) of what follows ``tokens`` (r,), int64, and the state after them."""


@runtime_checkable
class Prompted(Protocol):
    """A decoder that takes text before its sentence."""

    def feed(self, state: State, tokens: Tensor, lengths: Tensor) -> State:
        """The state after the first ``lengths`` (n,), at least 1, of each row of ``tokens`` (n, T), int64."""


@runtime_checkable
class Reorderable(Protocol):
    """A state that is no tensor (another runtime's value) and selects its own rows."""

    def reorder(self, index: Tensor) -> Any: ...


def reorder(state: State, index: Tensor) -> State:  # noqa: PLR0911 - one return a kind of leaf
    """The rows ``index`` (r,), int64, of every tensor of a state, in that order, with repetitions.

    Numbers, strings and None pass through. Raises TypeError on a leaf that has no rows to select.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, index.to(state.device))
    if state is None or isinstance(state, (int, float, str)):
        return state
    if isinstance(state, Reorderable):
        return state.reorder(index)
    if isinstance(state, dict):
        return {key: reorder(value, index) for key, value in state.items()}
    if isinstance(state, tuple):
        parts = [reorder(value, index) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if isinstance(state, list):
        return [reorder(value, index) for value in state]
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        rows = {
            part.name: reorder(getattr(state, part.name), index)
            for part in dataclasses.fields(state)
            if part.init
        }
        return dataclasses.replace(state, **rows)
    raise TypeError(
        f"A decoder's state may not hold {type(state).__name__}: give it a reorder(index) method."
    )


def tensors_of(state: State) -> Iterator[Tensor]:
    """Every tensor that a state holds."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from tensors_of(value)
    elif isinstance(state, (tuple, list)):
        for value in state:
            yield from tensors_of(value)
    elif dataclasses.is_dataclass(state) and not isinstance(state, type):
        for part in dataclasses.fields(state):
            yield from tensors_of(getattr(state, part.name))
