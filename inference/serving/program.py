"""Which program describes: what is said of a picture depends on it as much as on the weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from inference.checkpoints.manifest import sha256_of_folder

PACKAGE = Path(__file__).parents[1]
FILES = {
    ".py",
    ".json",
    ".safetensors",
    ".toml",
    ".yaml",
    ".onnx",
    ".txt",
}  # code, and the data it comes with


@cache
def program() -> str:
    """16 hexadecimal digits of this package's files as they were when it was first asked for.

    So every update has another one, without anybody to remember a number. It changes more often than
    descriptions do: then a picture is described once more, while the other way would keep its old text.
    """
    return sha256_of_folder(PACKAGE, FILES)[:16]
