"""What GPT-2 keeps of the places it has seen, in memory that its graph writes into."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, islice
from typing import Self

import numpy as np

from inference.decoding.decoder import Reorderable, Tokens
from inference.graphs.session import Array, Graph, InPlace

_ROOM = 64  # places that are made free at a time
_NOTHING = -1  # stands at a place that was never written


@dataclass(slots=True)
class _Room:
    """Keys and values of all layers, and the graphs that are bound to them."""

    stored: Array  # (layers, 2, n, heads, room, width of a head): keys, then values
    origin: Array  # (n, room), int64: the number of what stands at a place; equal ones stand for the same
    bound: dict[Graph, InPlace] = field(default_factory=dict)


@dataclass(slots=True)
class _Owners:
    """What all states have in common that grew from one."""

    spare: list[_Room] = field(default_factory=list)  # of states that nobody holds any more
    numbers: count[int] = field(default_factory=count)

    def room(self, shape: tuple[int, ...]) -> _Room:
        """One of this shape, which may hold what others wrote; whatever is spare and of another is let go."""
        fitting = [room for room in self.spare if room.stored.shape == shape]
        self.spare = fitting[1:]
        if fitting:
            return fitting[0]
        return _Room(np.empty(shape, np.float32), np.full((shape[2], shape[4]), _NOTHING))


class _Memory:
    """A room while states are in it."""

    __slots__ = ("owners", "room", "written")

    def __init__(self, owners: _Owners, room: _Room, written: int = 0) -> None:
        self.owners = owners
        self.room = room
        self.written = written  # places that hold something

    def number(self, places: Array, more: int) -> None:
        """Tells what is put behind the ``places`` (n,) of each row from all that was there before."""
        for row, first in zip(self.room.origin, places.tolist(), strict=True):
            row[first : first + more] = list(islice(self.owners.numbers, more))

    def __del__(self) -> None:
        self.owners.spare.append(self.room)


@dataclass(frozen=True, slots=True)
class KeyValues(Reorderable):
    """Of n rows. A state of :mod:`inference.decoding.decoder`, which never changes for whoever holds it.

    New places are put behind those there are, into room that the memory has left; when another state has
    grown from the same one there already, or no room is left, it is copied first. A copy goes to where a
    state was that is gone, and only from the place on where the two differ: the beams of a search have most
    of their sentences in common.
    """

    length: int  # the most places of a row that are this state's, from the first
    memory: _Memory = field(repr=False)

    @classmethod
    def empty(cls, rows: int, layers: int, heads: int, width: int) -> Self:
        """Of no places yet; ``width``: of a head."""
        owners = _Owners()
        return cls(0, _Memory(owners, owners.room((layers, 2, rows, heads, _ROOM, width))))

    @classmethod
    def together(cls, rows: list[Self]) -> Self:
        """The rows of each as rows of one."""
        length = max(row.length for row in rows)
        layers, kinds, _, heads, _, width = rows[0].memory.room.stored.shape
        own = [row.rows for row in rows]
        owners = _Owners()
        room = owners.room((layers, kinds, sum(own), heads, length + _ROOM, width))
        room.stored[..., :length, :] = 0  # behind the shorter ones
        for row, end, size in zip(rows, np.cumsum(own), own, strict=True):
            kept = row.memory.room.stored[..., : row.length, :]
            room.stored[:, :, end - size : end, :, : row.length] = kept
        memory = _Memory(owners, room, length)
        memory.number(np.zeros(sum(own), np.int64), length)
        return cls(length, memory)

    def grown(self, places: Array, more: int) -> Self:
        """With ``more`` places behind the ``places`` (n,) that each row has seen, which the bound graph must
        fill."""
        memory, most = self.memory, int(places.max()) + more
        room = memory.room.stored.shape[4]
        if memory.written != self.length or most > room:
            memory = self._copied(np.arange(self.rows), room if most <= room else most + _ROOM)
        memory.number(places, more)
        memory.written = most
        return type(self)(most, memory)

    def before(self, last: int) -> Self:
        """Without the ``last`` places of each row."""
        return type(self)(self.length - last, self.memory)

    def bound(self, graph: Graph) -> InPlace:
        """The graph that writes into this memory: its inputs ``kept_0``, ``kept_1`` ... are the first layer's
        keys and values, the second's ..."""
        room = self.memory.room
        if graph not in room.bound:
            arrays = room.stored.reshape(-1, *room.stored.shape[2:])
            room.bound[graph] = graph.in_place({f"kept_{i}": part for i, part in enumerate(arrays)})
        return room.bound[graph]

    @property
    def rows(self) -> int:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return int(self.memory.room.stored.shape[2])

    def reorder(self, index: Tokens) -> Self:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return type(self)(self.length, self._copied(index, self.memory.room.stored.shape[4]))

    def _copied(self, index: Tokens, places: int) -> _Memory:
        """The rows ``index``, with room for so many places."""
        old, owners = self.memory.room, self.memory.owners
        layers, kinds, _, heads, _, width = old.stored.shape
        new = owners.room((layers, kinds, len(index), heads, places, width))
        for row, source in enumerate(index.tolist()):
            wanted = old.origin[source, : self.length]
            other = np.flatnonzero(new.origin[row, : self.length] != wanted)
            if other.size:
                behind = slice(int(other[0]), self.length)
                new.stored[:, :, row, :, behind] = old.stored[:, :, source, :, behind]
                new.origin[row, behind] = old.origin[source, behind]
        return _Memory(owners, new, self.length)
