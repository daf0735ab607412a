"""What a transformer keeps of the places it has seen: the keys and values of all its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.decoding.decoder import Reorderable

_ROOM = 32  # places that are made free at a time


@dataclass(frozen=True, slots=True)
class KeyValues(Reorderable):
    """Of n rows, in one tensor, so that beams are reordered by one selection.

    A state of :mod:`inference.decoding.decoder`, which never changes for whoever holds it. New places are put
    behind it, into room that its tensor has left; when another has grown from the same one there already, or
    no room is left, it is copied first.
    """

    stored: Tensor  # (n, layers, 2, heads, room, width of a head): keys, then values
    length: int  # places that are this state's, from the first
    written: list[int]  # [places of `stored` that hold something]: one list for all who share it

    @classmethod
    def empty(cls, x: Tensor, layers: int, heads: int) -> KeyValues:
        """Of no places yet, for the rows of ``x`` (n, t, w), which are about to be the first."""
        n, t, width = x.shape
        return cls(x.new_empty(n, layers, 2, heads, t + _ROOM, width // heads), 0, [0])

    def grown(self, places: int) -> KeyValues:
        """With so many more places, which :meth:`put` must fill, layer by layer."""
        end, stored, written = self.length + places, self.stored, self.written
        if written[0] != self.length or end > stored.shape[4]:
            *rows, room, width = stored.shape
            stored = stored.new_empty(*rows, max(room, end + _ROOM), width)
            stored[..., : self.length, :] = self.stored[..., : self.length, :]
            written = [self.length]
        written[0] = end
        return KeyValues(stored, end, written)

    def put(self, layer: int, new: Tensor) -> tuple[Tensor, Tensor]:
        """Fills a layer's last places with ``new`` (n, 2, heads, t, width of a head); the keys and the values
        of all its places, (n, heads, length, width of a head) each."""
        kept = self.stored[:, layer, :, :, : self.length]
        kept[:, :, :, self.length - new.shape[3] :] = new
        return kept[:, 0], kept[:, 1]

    @property
    def rows(self) -> int:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        return len(self.stored)

    def reorder(self, index: Tensor) -> KeyValues:
        """See :class:`inference.decoding.decoder.Reorderable`."""
        stored = self.stored.new_empty(len(index), *self.stored.shape[1:])
        own = (..., slice(self.length), slice(None))
        torch.index_select(self.stored[own], 0, index.to(stored.device), out=stored[own])
        return KeyValues(stored, self.length, [self.length])
