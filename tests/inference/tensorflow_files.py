"""TensorFlow's checkpoints, written without it: byte for byte as its BundleWriter lays them out."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC = 0xDB4775248B80FB57
_DTYPES = {"float32": 1, "int64": 9}
Variables = Mapping[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]


def write_checkpoint(folder: Path, variables: Variables) -> None:
    """``.index`` and ``.data-00000-of-00001``, as save_weights("folder/") calls them, with an optimiser's
    slot and a text besides."""
    folder.mkdir(parents=True, exist_ok=True)
    values = dict[str, npt.NDArray[Any]]()
    values |= {f"{name}/.ATTRIBUTES/VARIABLE_VALUE": value for name, value in variables.items()}
    first = next(iter(variables))
    values[f"{first}/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros(3, np.float32)
    raw, rows = b"", [(b"", b"\x08\x01\x1a\x02\x08\x01")]  # the header: one shard, version 1
    entries: dict[str, tuple[int, tuple[int, ...], bytes]] = {
        "_CHECKPOINTABLE_OBJECT_GRAPH": (7, (), b"graph")
    }
    entries |= {key: (_DTYPES[str(v.dtype)], v.shape, v.tobytes()) for key, v in values.items()}
    for key, (dtype, shape, written) in sorted(entries.items()):
        dims = b"".join(_bytes(2, _number(1, size)) for size in shape)
        entry = _number(1, dtype) + _bytes(2, dims) + _number(4, len(raw)) + _number(5, len(written))
        rows.append((key.encode(), entry + b"\x35\0\0\0\0"))  # field 6: a checksum that nobody reads
        raw += written
    (folder / ".data-00000-of-00001").write_bytes(raw)
    (folder / ".index").write_bytes(_table(rows))


def zipped(path: Path, folder: Path) -> Path:
    """The folder's files in an archive, as its author packed them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return path


def _table(rows: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A LevelDB table of two blocks of rows, the list of these, and the footer."""
    raw, handles = b"", []
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        block = _block(part)
        handles.append((part[-1][0], _varint(len(raw)) + _varint(len(block) - 5)))
        raw += block
    empty, listed = _block([]), _block(handles)
    footer = _varint(len(raw)) + _varint(len(empty) - 5)
    footer += _varint(len(raw) + len(empty)) + _varint(len(listed) - 5)
    return raw + empty + listed + footer.ljust(40, b"\0") + struct.pack("<Q", _MAGIC)


def _block(rows: Sequence[tuple[bytes, bytes]]) -> bytes:
    raw, before = b"", b""
    for key, value in rows:
        pairs = zip(key, before, strict=False)
        shared = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(key), len(before)))
        own = key[shared:]
        raw += _varint(shared) + _varint(len(own)) + _varint(len(value)) + own + value
        before = key
    return raw + struct.pack("<II", 0, 1) + b"\0" + b"\0\0\0\0"  # restarts, no compression, a checksum


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
