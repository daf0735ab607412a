"""What a search drives: a decoder, and the states that it moves between.

A decoder is anything with ``start(memory) -> state`` and ``step(state, tokens) -> (logits, state)`` that
takes and gives numpy's arrays: a session of another runtime, or a torch module behind
:class:`inference.decoders.torch_decoder.TorchDecoder`. Its state is a pytree (dict, list, tuple, dataclass)
of arrays whose dimension 0 is the batch, so that beams can be reordered without knowing it; what is no array
says its number of rows and selects among them itself, see :class:`Reorderable`.

Shapes: n pictures, r rows (of a beam search several a picture), V logits a row.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = Any
Tokens: TypeAlias = NDArray[np.int64]
Logits: TypeAlias = NDArray[np.float32]
Step: TypeAlias = Callable[[State, Tokens], tuple[Logits, State]]
Foreseen: TypeAlias = Callable[[Tokens, Logits], tuple[int, float] | None]
"""``(tokens, logits) -> token, lead``: what a search says behind the tokens generated so far (1, t) if the
decoder yields these logits (1, V), and by how much that leads the next, infinity where more than that
decides. None where the sentence ends with it."""


class Decoder(Protocol):
    """What :func:`inference.decoding.search.generate` drives."""

    def start(self, memory: Any) -> State:
        """The state before the first token, for the n pictures that ``memory`` holds."""

    def step(self, state: State, tokens: Tokens) -> tuple[Logits, State]:
        """Logits (r, V) of what follows ``tokens`` (r,), and the state after them. The search writes into
        neither the logits nor the state."""


@runtime_checkable
class Prompted(Protocol):
    """A decoder that takes text before its sentence."""

    def feed(self, state: State, tokens: Tokens, lengths: Tokens) -> State:
        """The state after the first ``lengths`` (n,), at least 1, of each row of ``tokens`` (n, T)."""


@runtime_checkable
class Foreseeing(Protocol):
    """A decoder that does ahead what a search is likely to ask for."""

    def foreseeing(self, state: State, foreseen: Foreseen) -> tuple[Step, State]:
        """What takes the place of its ``step``, and of the ``state`` (of one row) that the sentence begins
        with, in a search that says what is ``foreseen``."""


class Reorderable(ABC):
    """A part of a state that is no array (another runtime's value) and selects its own rows."""

    __slots__ = ()

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many it has."""

    @abstractmethod
    def reorder(self, index: Any) -> Self:
        """Its rows ``index`` (r,), int64, in that order, with repetitions."""


def reorder(state: State, index: Tokens) -> State:
    """The rows ``index`` (r,) of every array of a state, in that order, with repetitions.

    Numbers, strings and None pass through. Raises TypeError on a leaf that has no rows to select.
    """
    return selected(state, index, np.ndarray, lambda array, rows: array.take(rows, 0))


def selected(state: State, index: Any, kind: type, select: Callable[[Any, Any], Any]) -> State:
    """:func:`reorder` for arrays of any library: ``select(array, index)`` of each that is of its ``kind``."""

    def rows_of_leaf(leaf: Any) -> Any:
        if isinstance(leaf, kind):
            return select(leaf, index)
        if isinstance(leaf, Reorderable):
            return leaf.reorder(index)
        raise TypeError(f"A decoder's state may not hold {type(leaf).__name__}: make it a Reorderable.")

    return _mapped(rows_of_leaf, state)


def rows_of(state: State) -> int:
    """The size of a state's batch, which its first leaf tells. Raises TypeError when it has none."""
    for leaf in _leaves(state):
        return leaf.rows if isinstance(leaf, Reorderable) else len(leaf)
    raise TypeError("A decoder's state must hold at least one array, whose dimension 0 is the batch.")


def _mapped(change: Callable[[Any], Any], state: State) -> State:
    """A state with ``change(leaf)`` in place of each leaf: of all that is no container, number, string or
    None."""
    if state is None or isinstance(state, (int, float, str)):
        return state
    if isinstance(state, dict):
        return {key: _mapped(change, value) for key, value in state.items()}
    if isinstance(state, tuple):
        parts = [_mapped(change, value) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if isinstance(state, list):
        return [_mapped(change, value) for value in state]
    if _is_record(state):
        fields = [part.name for part in dataclasses.fields(state) if part.init]
        return dataclasses.replace(state, **{name: _mapped(change, getattr(state, name)) for name in fields})
    return change(state)


def _leaves(state: State) -> Iterator[Any]:
    """What :func:`_mapped` changes."""
    if state is None or isinstance(state, (int, float, str)):
        return
    if isinstance(state, dict):
        state = list(state.values())
    elif _is_record(state):
        state = [getattr(state, part.name) for part in dataclasses.fields(state)]
    if isinstance(state, (tuple, list)):
        for value in state:
            yield from _leaves(value)
    else:
        yield state


def _is_record(state: State) -> bool:
    """A dataclass whose fields are parts of the state, not one that selects its own rows."""
    return (
        dataclasses.is_dataclass(state) and not isinstance(state, type) and not isinstance(state, Reorderable)
    )
