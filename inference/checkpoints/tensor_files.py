"""Files of safetensors with the permissions of any other: the library gives them to their owner alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file


@contextmanager
def as_the_umask_says(path: Path) -> Iterator[None]:
    """The file that is written to ``path`` meanwhile has the permissions that any new file has."""
    path.unlink(missing_ok=True)
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """A safetensors file of numpy's arrays; see :func:`.modules.write_tensors` for those of PyTorch.

    Raises SafetensorError or OSError when it cannot be written; it may then be there, and is not whole.
    """
    with as_the_umask_says(path):
        save_file(dict(arrays), path)
