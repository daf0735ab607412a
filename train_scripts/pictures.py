"""Pictures from the disk, and one sentence about all of those that cannot be opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image
from tqdm import tqdm

from inference.common.errors import UserError
from inference.common.types import PictureError
from inference.pictures.opening import MAX_BYTES, load_picture

__all__ = [
    "UnreadablePicturesError",
    "check_pictures",
    "cores",
    "open_picture",
    "picture_bytes",
    "with_pictures",
]

T = TypeVar("T")
_SHOWN = 3


class UnreadablePicturesError(UserError):
    """Pictures that a command needs cannot be opened; ``str()`` is one sentence that names them.

    ``bad``: each of them, and why.
    """

    def __init__(self, bad: Sequence[tuple[Path, str]]) -> None:
        self.bad = tuple(bad)
        if len(bad) == 1:
            text = f"{bad[0][0]} cannot be read ({bad[0][1]}): mend the file, or remove its rows."
        else:
            shown = "; ".join(f"{path}: {why}" for path, why in bad[:_SHOWN])
            more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
            text = (
                f"{len(bad)} pictures cannot be read ({shown}{more}): mend the files, or remove their rows."
            )
        super().__init__(text)


def picture_bytes(path: Path) -> bytes:
    """What the file holds; of one that is too large to be a picture, only as much as shows that. Raises
    OSError.
    """
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def open_picture(path: Path, data: bytes | None = None) -> Image.Image:
    """The picture, upright RGB; ``data``: its bytes, where they were read before. Raises
    UnreadablePicturesError.
    """
    try:
        return load_picture(picture_bytes(path) if data is None else data).image
    except PictureError as error:
        # What comes behind the colon is said to somebody who sends the picture.
        raise UnreadablePicturesError([(path, str(error).partition(":")[0].rstrip("."))]) from None
    except OSError as error:
        raise UnreadablePicturesError([(path, error.strerror or str(error))]) from None


def check_pictures(paths: Iterable[Path]) -> None:
    """Opens every picture once, on all cores: a few milliseconds each, before work that takes much longer.

    Raises UnreadablePicturesError about all that cannot be opened, in their order.
    """
    with_pictures(paths, lambda path, image: None, desc="checking pictures")  # noqa: ARG005


def with_pictures(
    paths: Iterable[Path], use: Callable[[Path, Image.Image], T], *, desc: str
) -> dict[Path, T]:
    """What ``use`` makes of each picture, on all cores; ``desc``: of the bar, where it takes long.

    Raises UnreadablePicturesError about all that cannot be opened, in their order.
    """

    def used(path: Path) -> T | UnreadablePicturesError:
        try:
            return use(path, open_picture(path))
        except UnreadablePicturesError as error:
            return error

    wanted = list(dict.fromkeys(paths))
    found: dict[Path, T] = {}
    bad: list[tuple[Path, str]] = []
    with ThreadPoolExecutor(cores()) as pool:
        results = tqdm(pool.map(used, wanted), desc=desc, total=len(wanted), delay=2, leave=False)
        for path, result in zip(wanted, results, strict=True):
            if isinstance(result, UnreadablePicturesError):
                bad += result.bad
            else:
                found[path] = result
    if bad:
        raise UnreadablePicturesError(bad)
    return found


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
