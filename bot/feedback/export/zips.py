"""An export as archives that a chat can carry."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path

from bot.feedback import private
from bot.feedback.export.pictures import IMAGES
from bot.feedback.export.report import ExportError
from inference.common.interpreter import PYTHON

PART_SIZE = 49_000_000  # bytes: a bot may upload 50 MB to Telegram


async def archive(folder: Path, into: Path, *, name: str = "feedback", limit: int = PART_SIZE) -> list[Path]:
    """Zip an export into one or more files of at most ``limit`` bytes in ``into``; returns them in order.

    Every part is a zip of its own; unpacked into one folder, all parts together give ``folder`` again.
    Raises ExportError when a single file does not fit, or the disk is full.
    """
    try:
        return await asyncio.to_thread(_archive, folder, into, name, limit)
    except OSError as error:
        raise ExportError(f"The archive cannot be written to {into} ({error}); free some space.") from error


def _archive(folder: Path, into: Path, name: str, limit: int) -> list[Path]:
    private.make_folder(into)
    # Tables first: whoever opens part 1 sees what the rest is.
    found = sorted((path for path in folder.rglob("*") if path.is_file()), key=_archive_order)
    parts = _Parts(into, name, limit)
    try:
        for path in found:
            # Pictures are compressed already.
            parts.add(path, path.relative_to(folder).as_posix(), compress=path.parent == folder)
        parts.close()
        if any(part.stat().st_size > limit for part in parts.paths):
            raise ExportError(
                f"A file of this export is larger than {limit // 1_000_000} MB even when packed; "
                f"narrow it with a date or a rating, or run `{PYTHON} -m bot export` on the server."
            )
    except BaseException:
        parts.close()
        for part in parts.paths:
            part.unlink(missing_ok=True)
        raise
    return parts.named()


def _archive_order(path: Path) -> tuple[bool, str]:
    return path.parent.name == IMAGES, path.as_posix()


class _Parts:
    """Zips that are filled one after the other, each up to ``limit`` bytes; only whole ones get a name."""

    def __init__(self, into: Path, name: str, limit: int) -> None:
        self.paths: list[Path] = []
        self._into = into
        self._name = name
        self._limit = limit
        self._open: zipfile.ZipFile | None = None
        self._size = 0

    def add(self, path: Path, inner: str, *, compress: bool) -> None:
        """Put a file into the part that has room for it."""
        headers = 2 * len(inner.encode()) + 512  # more than zip needs
        part = self._part(path.stat().st_size * 1001 // 1000 + headers)
        part.write(path, inner, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
        self._size += part.getinfo(inner).compress_size + headers

    def _part(self, size: int) -> zipfile.ZipFile:
        if self._open is not None and self._size + size <= self._limit:
            return self._open
        self.close()
        self.paths.append(self._into / f"{self._name}.{len(self.paths) + 1}.partial")
        private.touch(self.paths[-1])
        self._open = zipfile.ZipFile(self.paths[-1], "w", strict_timestamps=False)
        self._size = 512
        return self._open

    def close(self) -> None:
        """The part in work is whole."""
        if self._open is not None:
            self._open.close()

    def named(self) -> list[Path]:
        """The parts under the names that a person sees."""
        count = len(self.paths)
        if count == 1:
            return [self.paths[0].replace(self._into / f"{self._name}.zip")]
        return [
            path.replace(self._into / f"{self._name}-{number}-of-{count}.zip")
            for number, path in enumerate(self.paths, 1)
        ]
