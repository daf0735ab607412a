"""The initializers of a graph: their names, read from its file, and how they leave it.

ONNX Runtime takes weights by name and refuses one that the graph has not; it does not tell the names. The
package ``onnx`` would, and is as large as the runtime: three fields of its format are all that is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["hand_over", "names"]

_GRAPH, _INITIALIZER, _NAME = 7, 5, 8  # fields of ModelProto, GraphProto and TensorProto (onnx.proto3)
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # kinds of fields (protobuf's encoding)
_LOCATION = "weights"  # names no file: whoever opens the session hands the weights over


def names(model: bytes) -> list[str]:
    """In the file's order. Raises ValueError: it is no file of ONNX, or it is cut."""
    return [
        bytes(name).decode()
        for graph in _fields(memoryview(model), _GRAPH)
        for initializer in _fields(graph, _INITIALIZER)
        for name in _fields(initializer, _NAME)
    ]


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The contents of a message's fields of one number, those that are bytes, texts or messages."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, number = key & 7, key >> 3
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED_32, _FIXED_64):
            at += 4 if kind == _FIXED_32 else 8
        elif kind == _BYTES:
            length, at = _varint(message, at)
            at += length
            if number == wanted and at <= len(message):
                yield message[at - length : at]
        else:
            raise ValueError(f"a field of the kind {kind}")
    if at > len(message):
        raise ValueError("a field goes beyond its message")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins there, and where the next begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("a number that does not end")


def hand_over(tensor: Any, length: int) -> None:
    """Leaves the name, kind and shape of an initializer (a TensorProto): its numbers, ``length`` bytes,
    come with the weights.
    """
    for values in ("raw_data", "float_data"):
        tensor.ClearField(values)
    tensor.data_location = type(tensor).EXTERNAL
    for key, value in (("location", _LOCATION), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
