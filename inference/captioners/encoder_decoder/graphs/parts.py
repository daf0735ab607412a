"""The numbers and the graphs that a decoder of graphs is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from inference.graphs.session import Array, Graph

SUFFIX = ".onnx"
ENCODER, START, LIFT, STEP, HEAD = "encoder", "start", "lift", "step", "head"  # names of graphs
DRAFT = "draft_"  # begins the names of the graphs that guess ahead, see inference.decoding.drafting
PLACES = "places"  # the first output of GPT-2's step: the vectors of all places that it was fed
NEW = "new_"  # begins the name of what a step changes: an output may not be named as an input is
BLOCKS = "::int8"  # ends the name of a matrix (o, i) in int8: uint8 (o, blocks, a block's numbers), 128 = 0
SCALES = "::scales"  # ends the name of its factors, (o, blocks)
ZERO = 128


class Parts:
    """The graphs ``NAME.onnx`` of a folder with their weights. ``threads``: see :class:`Graph`; ``prefix``:
    begins the names of the files.

    Raises GraphError when one is missing or damaged, or the weights are another network's.
    """

    def __init__(
        self, folder: Path, weights: Mapping[str, Array], *, threads: int | None = None, prefix: str = ""
    ) -> None:
        self.weights = weights
        self._folder = folder
        self._threads = threads
        self._prefix = prefix

    def graph(self, name: str, *, awake: int = 0) -> Graph:
        """The named graph; ``awake``: see :class:`Graph`."""
        return Graph(self._path(name), self.weights, threads=self._threads, awake=awake)

    def graph_if_there(self, name: str) -> Graph | None:
        """The named graph; None where this architecture has none."""
        return self.graph(name) if self._path(name).is_file() else None

    def rows(self, name: str, width: int) -> Rows:
        """The named matrix of rows so wide."""
        return Rows(self.weights, name, width)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._prefix}{name}{SUFFIX}"


class Rows:
    """A matrix (V, w) of the weights of which some rows are looked up: it stays in the file as it is.

    Raises KeyError on construction when the weights have no such matrix.
    """

    def __init__(self, weights: Mapping[str, Array], name: str, width: int) -> None:
        self._scales = weights.get(name + SCALES)
        self._matrix = weights[name if self._scales is None else name + BLOCKS]
        self._width = width

    def __len__(self) -> int:
        return len(self._matrix)

    def __call__(self, numbers: Array) -> Array:
        """The rows ``numbers`` (...,), float32 (..., w)."""
        rows = self._matrix[numbers].astype(np.float32)
        if self._scales is None:
            return rows
        rows = (rows - ZERO) * self._scales[numbers][..., None]
        return rows.reshape(*numbers.shape, -1)[..., : self._width]
