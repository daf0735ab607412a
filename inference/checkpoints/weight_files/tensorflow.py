"""TensorFlow's checkpoints (``save_weights``, tf.train.Checkpoint) read without TensorFlow.

A checkpoint is an index and its shards, ``PREFIX.index`` and ``PREFIX.data-00000-of-00001``, as they are or
in a zip. The index is a LevelDB table that is not compressed, from names to small protocol buffers, which say
of each tensor its type, shape and place in a shard (tensorflow/core/protobuf/tensor_bundle.proto).
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from inference.checkpoints.weight_files.pickles import DamagedPickle

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # bytes: two handles, padding, the magic number
INDEX = ".index"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
# Numbers of tensorflow/core/framework/types.proto; of other types (texts) nothing is needed here.
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 9: "<i8", 10: "|b1", 19: "<f2"}


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


def is_tensorflow(path: Path) -> bool:
    """Whether the file is a checkpoint's index, or a zip that holds one."""
    if path.name.endswith(INDEX):
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(INDEX) for name in archive.namelist())


def read_tensorflow(path: Path) -> dict[str, Tensor]:
    """The variables by their names in the model, ``rnn/kernel``; an optimiser's are left out.

    Raises DamagedPickle when the checkpoint is not whole, OSError when it cannot be read.
    """
    try:
        return dict(_variables(*_opened(path)))
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, struct.error) as error:
        raise DamagedPickle(f"is no whole checkpoint of TensorFlow ({error})") from error


def _opened(path: Path) -> tuple[bytes, dict[int, bytes]]:
    """The index, and the shards by their numbers."""
    if path.name.endswith(INDEX):
        found = [file for file in path.parent.iterdir() if _belongs(path.name, file.name)]
        return path.read_bytes(), _shards({file.name: file.read_bytes() for file in found})
    with zipfile.ZipFile(path) as archive:
        indices = [name for name in archive.namelist() if name.endswith(INDEX)]
        if len(indices) != 1:
            raise ValueError(f"it holds {len(indices)} of them")
        files = {name: archive.read(name) for name in archive.namelist() if _belongs(indices[0], name)}
        return archive.read(indices[0]), _shards(files)


def _belongs(index: str, name: str) -> bool:
    return name.startswith(f"{index.removesuffix(INDEX)}.data-")


def _shards(files: Mapping[str, bytes]) -> dict[int, bytes]:
    return {int(PurePosixPath(name).name.split(".data-")[1][:5]): raw for name, raw in files.items()}


def _variables(index: bytes, shards: Mapping[int, bytes]) -> Iterator[tuple[str, Tensor]]:
    for key, value in _table(index):
        name = key.decode("utf-8")
        if not name.endswith(_VALUE) or "/.OPTIMIZER_SLOT/" in name:
            continue
        entry = _entry(value)
        if entry.dtype not in _DTYPES:
            continue
        raw = shards[entry.shard][entry.offset : entry.offset + entry.size]
        array = np.frombuffer(raw, _DTYPES[entry.dtype]).reshape(entry.shape)
        yield name.removesuffix(_VALUE), torch.from_numpy(array.copy())


def _table(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a LevelDB table: its footer points to the block that points to the others."""
    footer = raw[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("its index has no end")
    _, at = _handle(footer, 0)
    handle, _ = _handle(footer, at)
    for _, value in _block(raw, handle):
        yield from _block(raw, _handle(value, 0)[0])


def _block(raw: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Rows that say how much of their key is the key before; behind them, where they may be entered."""
    offset, size = handle
    if raw[offset + size] != 0:
        raise ValueError("its index is compressed")
    block = raw[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = size - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _handle(raw: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(raw, at)
    size, at = _varint(raw, at)
    return (offset, size), at


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a protocol buffer's fields."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, at = _varint(raw, at)
        elif kind in {1, 5}:
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the kind {kind}")
        yield tag >> 3, raw[at : at + length]
        at += length


def _entry(raw: bytes) -> _Entry:
    """A BundleEntryProto; what is zero is not written."""
    numbers: dict[int, int] = {}
    shape: list[int] = []
    for number, value in _fields(raw):
        if isinstance(value, int):
            numbers[number] = value
        elif number == 2:  # TensorShapeProto
            shape = [_size(part) for dim, part in _fields(value) if dim == 2 and isinstance(part, bytes)]
    return _Entry(numbers.get(1, 0), tuple(shape), numbers.get(3, 0), numbers.get(4, 0), numbers.get(5, 0))


def _size(dimension: bytes) -> int:
    return next((value for number, value in _fields(dimension) if number == 1 and isinstance(value, int)), 0)
