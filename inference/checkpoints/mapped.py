"""The tensors of a safetensors file as arrays over the file itself: what is not looked at is not read."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.checkpoints.folder import SCALES

__all__ = ["MappedWeights", "widened"]

Array = npt.NDArray[Any]
_KINDS = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def widened(whole: Array, scale: Array) -> Array:
    """A tensor in 8 bits (o, ...) times its factors (o,), a row each: float32."""
    numbers: Array = whole.astype(np.float32)
    numbers *= scale.astype(np.float32).reshape(-1, *[1] * (whole.ndim - 1))
    return numbers


class MappedWeights(Mapping[str, Array]):
    """Arrays by name, read-only. The file may be replaced by another meanwhile, but not be written into.

    Raises:
        OSError: on construction; it cannot be read.
        ValueError: likewise; it is damaged, or holds numbers of a kind that numpy has not.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            (length,) = struct.unpack("<Q", self._memory[:8])
            header = json.loads(self._memory[8 : 8 + length])
            header.pop("__metadata__", None)
            self._arrays = {name: self._array(8 + length, **entry) for name, entry in header.items()}
        except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no safetensors file, or a damaged one: get it anew.") from error

    def _array(self, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
        begin, end = data_offsets
        array: Array = np.ndarray(tuple(shape), _KINDS[dtype], self._memory, start + begin)
        if array.nbytes != end - begin:
            raise ValueError("a tensor of another size than its place")
        return array

    def __getitem__(self, name: str) -> Array:
        """A matrix that the file holds in 8 bits with a factor a row is widened anew each time."""
        array, scale = self._arrays[name], self._arrays.get(name + SCALES)
        return array if scale is None else widened(array, scale)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def forget(self) -> None:
        """Gives the memory back that the file takes; what is looked at again is read again."""
        self._memory.madvise(mmap.MADV_DONTNEED)
