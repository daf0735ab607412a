"""The steps that bring files here: published weights, archives of data, what is in the archives."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from inference.checkpoints import hub
from inference.checkpoints.names import HubModel
from inference.checkpoints.pull.entries import Weights
from inference.checkpoints.pull.pulling import find_pulled, pull
from inference.commands.pull import bar, sentence
from inference.common.errors import UserError
from inference.common.file_names import is_plain
from inference.common.locks import Locked, locked
from inference.common.types import UnknownModel
from train_scripts.reproduce.steps import Step

__all__ = ["Fetch", "FetchFromHub", "Unpack"]


@dataclass(frozen=True, kw_only=True)
class Fetch(Step):
    """Known weights, or an archive, by ``pull``."""

    wanted: Weights

    def there(self) -> bool:
        return find_pulled(self.place.parent, self.wanted.name) is not None

    def run(self) -> str:
        return "\n".join(sentence(found) for found in pull(self.wanted, self.place.parent, progress=bar))


@dataclass(frozen=True, kw_only=True)
class FetchFromHub(Step):
    """A model of the Hugging Face hub."""

    model: HubModel
    models_dir: Path

    def there(self) -> bool:
        try:
            hub.find_snapshot(self.model, self.models_dir)
        except UnknownModel:
            return False
        return True

    def run(self) -> str:
        return f"{hub.fetch(self.model, self.models_dir)}: {self.model.name}"


@dataclass(frozen=True, kw_only=True)
class Unpack(Step):
    """Those files of zip archives whose path fits a pattern, side by side in one folder.

    `archives`: the folders in which the archives lie.
    """

    archives: tuple[Path, ...]
    files: str

    def there(self) -> bool:
        return self.place.is_dir()

    def run(self) -> str:
        part = self.place.with_name(f".{self.place.name}.part")
        try:
            part.mkdir(parents=True, exist_ok=True)
            with locked(part):
                count = sum(_take(archive, self.files, part) for archive in self._archives())
                if not count:
                    raise UserError(
                        f"No archive in {' or '.join(map(str, self.archives))} holds files as {self.files}: "
                        "fetch the right one."
                    )
                part.replace(self.place)
        except Locked:
            raise UserError(f"{self.place} is being unpacked by another process: wait for it.") from None
        except OSError as error:
            raise UserError(
                f"{self.place} cannot be written ({error.strerror or error}): make room there, then give the "
                "same command again."
            ) from error
        return f"{self.place}: {count:,} files"

    def _archives(self) -> Iterator[Path]:
        for folder in self.archives:
            yield from sorted(folder.glob("*.zip"))


def _take(archive: Path, pattern: str, folder: Path) -> int:
    """Brings the archive's files here, without those that are here; how many they are.

    Raises UserError, OSError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = _wanted(opened, pattern)
            described = f"Unpacking {archive.name}"
            for name, member in tqdm(wanted.items(), desc=described, unit="file", disable=None):
                target = folder / name
                if target.is_file() and target.stat().st_size == member.file_size:
                    continue
                with opened.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(
            f"{archive} is no whole zip archive ({error}): delete it, and fetch it again."
        ) from error
    return len(wanted)


def _wanted(archive: zipfile.ZipFile, pattern: str) -> dict[str, zipfile.ZipInfo]:
    """The members whose path fits, by the name that each gets; of two of one name the first, since some
    archives hold everything twice. Names are a file's alone, so none can lead out of the folder."""
    wanted: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = PurePosixPath(member.filename).name
        hidden = name.startswith(".")  # as a Mac puts beside every file
        if fnmatch(member.filename, pattern) and is_plain(name) and not hidden and not member.is_dir():
            wanted.setdefault(name, member)
    return wanted
