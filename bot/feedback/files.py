"""The folder of kept pictures: ``pictures/ab/<sha256>.<extension>``, under the data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from bot.feedback import private

_FOLDER = "pictures"

_SIGNATURES = (  # (position in the file, bytes there, extension)
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
    (4, b"ftypavi", "avif"),
    (4, b"ftyphe", "heic"),
    (4, b"ftypmif1", "heic"),
    (4, b"ftypmsf1", "heic"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"\0\0\0\x0cjP  ", "jp2"),
    (0, b"\xff\x4f\xff\x51", "j2k"),
    (0, b"BM", "bmp"),
)


def extension(data: bytes) -> str:
    """The usual file extension, without a dot, of the format these bytes really are in; "bin" if unknown."""
    return next((name for at, mark, name in _SIGNATURES if data.startswith(mark, at)), "bin")


def place(sha256: str, data: bytes) -> str:
    """Where a picture is kept, relative to the data folder."""
    return f"{_FOLDER}/{sha256[:2]}/{sha256}.{extension(data)}"


class PictureFolder:
    """Kept pictures on disk. Files and the rows about them change together, under ``lock``."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.lock = asyncio.Lock()

    @property
    def folder(self) -> Path:
        """Where all of them lie."""
        return self.data_dir / _FOLDER

    def at(self, path: str) -> Path:
        """Where the file of :attr:`Picture.path` lies."""
        return self.data_dir / path

    async def write(self, path: str, data: bytes) -> None:
        """Keep these bytes under a path of :func:`place`. Raises OSError."""
        await asyncio.to_thread(_write, self.at(path), data)

    async def all(self) -> list[str]:
        """The paths of all that is kept."""
        return await asyncio.to_thread(_all, self.data_dir, self.folder)

    async def remove(self, paths: Iterable[str]) -> int:
        """Delete these files; returns how many there were."""
        return await asyncio.to_thread(_remove, [self.at(path) for path in paths])


def _all(data_dir: Path, folder: Path) -> list[str]:
    return [path.relative_to(data_dir).as_posix() for path in folder.rglob("*") if path.is_file()]


def _write(path: Path, data: bytes) -> None:
    private.make_folder(path.parent)
    partial = path.with_suffix(".partial")
    with private.opened(partial) as file:
        file.write(data)
    partial.replace(path)  # whole or not at all


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        removed += 1
    return removed
