"""What GPT-2 keeps of the places it has seen, in memory that its graph writes into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from inference.decoding.decoder import Reorderable, Tokens
from inference.graphs.session import Array, Graph, InPlace

_ROOM = 64  # places that are made free at a time


@dataclass(slots=True)
class _Memory:
    """Keys and values of all layers, and the graph that is bound to them."""

    stored: Array  # (layers, 2, n, heads, room, width of a head): keys, then values
    written: int = 0  # places that hold something
    bound: InPlace | None = None


@dataclass(frozen=True, slots=True)
class KeyValues(Reorderable):
    """Of n rows. A state of :mod:`inference.decoding.decoder`, which never changes for whoever holds it.

    New places are put behind those there are, into room that the memory has left; when another state has
    grown from the same one there already, or no room is left, it is copied first.
    """

    length: int  # the most places of a row that are this state's, from the first
    memory: _Memory = field(repr=False)

    @classmethod
    def empty(cls, rows: int, layers: int, heads: int, width: int) -> Self:
        """Of no places yet; ``width``: of a head."""
        return cls(0, _Memory(np.empty((layers, 2, rows, heads, _ROOM, width), np.float32)))

    @classmethod
    def together(cls, rows: list[Self]) -> Self:
        """The rows of each as rows of one."""
        length = max(row.length for row in rows)
        layers, kinds, _, heads, _, width = rows[0].memory.stored.shape
        own = [row.memory.stored.shape[2] for row in rows]
        stored = np.zeros((layers, kinds, sum(own), heads, length + _ROOM, width), np.float32)
        for row, end, count in zip(rows, np.cumsum(own), own, strict=True):
            stored[:, :, end - count : end, :, : row.length] = row.memory.stored[..., : row.length, :]
        return cls(length, _Memory(stored, length))

    def grown(self, most: int) -> Self:
        """With so many places in the longest row, which the bound graph must fill."""
        memory = self.memory
        if memory.written != self.length or most > memory.stored.shape[4]:
            *rows, room, width = memory.stored.shape
            stored = np.empty((*rows, max(room, most + _ROOM), width), np.float32)
            stored[..., : self.length, :] = memory.stored[..., : self.length, :]
            memory = _Memory(stored)
        memory.written = most
        return type(self)(most, memory)

    def bound(self, graph: Graph) -> InPlace:
        """The graph that writes into this memory: its inputs ``kept_0``, ``kept_1`` ... are the first layer's
        keys and values, the second's ..."""
        memory = self.memory
        if memory.bound is None:
            arrays = memory.stored.reshape(-1, *memory.stored.shape[2:])
            memory.bound = graph.in_place({f"kept_{i}": part for i, part in enumerate(arrays)})
        return memory.bound

    @property
    def rows(self) -> int:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return int(self.memory.stored.shape[2])

    def reorder(self, index: Tokens) -> Self:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        old = self.memory.stored
        stored = np.empty((*old.shape[:2], len(index), *old.shape[3:]), np.float32)
        for number, source in enumerate(index.tolist()):
            stored[:, :, number, :, : self.length] = old[:, :, source, :, : self.length]
        return type(self)(self.length, _Memory(stored, self.length))
