"""What a frozen encoder saw of each picture, kept on disk.

A folder:

* ``cache.json``: whose features these are: the hash of the encoder's weights, its settings, its
  preprocessing;
* ``features.bin``: one picture after another, each in the same number of bytes;
* ``index.bin``: the sha256 of each picture's file, in the same order;
* ``files.json``: which file had which sha256 when, so that a later run need not read the pictures.

Pictures are added at the end, features first. Whatever interrupts that, the next run cuts both files to what
both hold.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from inference.common.errors import UserError
from inference.common.file_names import name_of
from inference.common.locks import locked
from inference.encoders.base import Encoder, Memory
from inference.pictures.opening import OPENING
from train_scripts.files import write_text
from train_scripts.pictures import UnreadablePicturesError, open_picture, picture_bytes
from train_scripts.training.seeing import Seer, ahead, groups_of, split

__all__ = ["FeatureCache", "encoder_identity"]

_FORMAT = 1
_DIGEST = 32  # bytes of a sha256


def encoder_identity(encoder: Encoder) -> dict[str, Any]:
    """What decides the features of a picture: JSON-able."""
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    settings = {
        key: value for key, value in encoder.settings.items() if key not in {"weights", "preprocessing"}
    }
    return {
        "weights": digest.hexdigest(),
        "settings": json.loads(json.dumps(settings)),
        "preprocessing": json.loads(json.dumps(encoder.preprocessing.to_dict())),
        "opening": OPENING,
    }


@dataclass(frozen=True, slots=True)
class _Part:
    """One tensor of a memory: the shape it has for one picture, and what it is kept as."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize


class FeatureCache:
    """The features of one encoder in one folder. Raises UserError when they are another encoder's."""

    def __init__(self, folder: Path, encoder: Encoder, *, half: bool = False) -> None:
        self.folder = folder
        self._identity = {"format": _FORMAT, **encoder_identity(encoder), "half": half}
        self._parts = _layout(encoder, half=half)
        self._row = sum(part.bytes for part in self._parts)
        self._several = encoder.yields == "layers"
        self._check()
        self._places: dict[bytes, int] = {}
        self._map: NDArray[np.uint8] = np.zeros((0, self._row), np.uint8)
        self._of: dict[Path, int] = {}

    def _check(self) -> None:
        path = self.folder / "cache.json"
        if not path.is_file():
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(
                f"{path} is damaged: delete the folder {self.folder}, it can be made again."
            ) from None
        for key, value in self._identity.items():
            if found.get(key) == value:
                continue
            what = {
                "weights": "the weights of another encoder",
                "settings": f"an encoder with other settings{_differing(found.get(key), value)}",
                "preprocessing": f"another preprocessing{_differing(found.get(key), value)}",
                "opening": "pictures that were opened in another way",
                "half": "another number of bits (cache_half)",
                "format": "another version of the program",
            }[key]
            raise UserError(
                f"The features in {self.folder} were made with {what}: name another folder as 'cache', "
                "or delete that one."
            )

    def add(
        self,
        pictures: Sequence[Path],
        encoder: Encoder,
        device: torch.device,
        pool: ThreadPoolExecutor,
        *,
        quiet: bool,
    ) -> None:
        """Sees those pictures that are not known yet; afterwards :meth:`read` knows all of them.

        Raises UnreadablePicturesError about all pictures that cannot be read, after all others were seen, and
        UserError when the disk is full; what was seen before is kept.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "lock", wait=True):  # two runs that fill one cache take turns
                self._add(pictures, Seer(encoder, device), pool, quiet=quiet)
        except OSError as error:
            raise UserError(
                f"The features cannot be kept in {self.folder} ({error.strerror or error}): make room "
                "there, name "
                "another folder as 'cache', or set cache=off; what was kept before is whole."
            ) from error

    def _add(self, pictures: Sequence[Path], seer: Seer, pool: ThreadPoolExecutor, *, quiet: bool) -> None:
        self._check()
        path = self.folder / "cache.json"
        if not path.is_file():
            write_text(path, json.dumps(self._identity, ensure_ascii=False, indent=1) + "\n")
        self._cut()
        files = _files(self.folder / "files.json")
        wanted = list(dict.fromkeys(pictures))
        digests: dict[Path, bytes] = {}
        for picture in wanted:
            known = files.get(name_of(picture.resolve()))
            if known is not None and known[0] == _stamp(picture):
                digests[picture] = bytes.fromhex(known[1])
        unseen = [one for one in wanted if one not in digests or digests[one] not in self._places]
        self._must_fit(len(unseen))
        bad: list[tuple[Path, str]] = []
        groups = groups_of(unseen, pool._max_workers)
        tasks = [lambda group=group: self._see(group, seer) for group in groups]
        bar = tqdm(total=len(unseen), desc="features", unit="picture", disable=quiet or not unseen)
        # Unbuffered: a disk that is full says so here, not when the file is closed.
        features_file, index_file = self.folder / "features.bin", self.folder / "index.bin"
        with (
            bar,
            features_file.open("ab", buffering=0) as features,
            index_file.open("ab", buffering=0) as index,
        ):
            for results in ahead(pool, tasks, 2 * pool._max_workers):
                for picture, digest, row in results:
                    if isinstance(row, UnreadablePicturesError):
                        bad += row.bad
                        continue
                    digests[picture] = digest
                    if row is not None and digest not in self._places:
                        _write(features, row)
                        _write(index, digest)
                        self._places[digest] = len(self._places)
                bar.update(len(results))
        files |= {
            name_of(one.resolve()): (_stamp(one), digest.hex())
            for one, digest in digests.items()
            if one in unseen
        }
        if unseen:
            write_text(self.folder / "files.json", json.dumps(files, ensure_ascii=False))
        if bad:
            raise UnreadablePicturesError(bad)
        self._of = {picture: self._places[digest] for picture, digest in digests.items()}
        if self._places:
            self._map = np.memmap(features_file, np.uint8, "r", shape=(len(self._places), self._row))

    def _cut(self) -> None:
        """Both files to the pictures that both hold whole."""
        features, index = self.folder / "features.bin", self.folder / "index.bin"
        for path in (features, index):
            path.touch()
        count = min(features.stat().st_size // self._row, index.stat().st_size // _DIGEST)
        for path, width in ((features, self._row), (index, _DIGEST)):
            if path.stat().st_size != count * width:
                with path.open("r+b") as file:
                    file.truncate(count * width)
        data = index.read_bytes()
        self._places = {data[i * _DIGEST : (i + 1) * _DIGEST]: i for i in range(count)}

    def _must_fit(self, count: int) -> None:
        free, needed = shutil.disk_usage(self.folder).free, count * self._row
        if needed > free:
            raise UserError(
                f"The features of {count} pictures take {needed / 1e9:.1f} GB, but {self.folder} has "
                f"{free / 1e9:.1f} GB free: make room, set cache_half=true or cache=off, or name another "
                "folder."
            )

    def _see(
        self, group: Sequence[Path], seer: Seer
    ) -> list[tuple[Path, bytes, bytes | UnreadablePicturesError | None]]:
        """For each picture: the sha256 of its file, and its features; None in their place where those of the
        whole group are there already, an error where it cannot be read.
        """
        found: dict[Path, tuple[bytes, bytes | UnreadablePicturesError | None]] = {}
        files, images = {}, {}
        for picture in group:
            try:
                files[picture] = picture_bytes(picture)
                found[picture] = (hashlib.sha256(files[picture]).digest(), None)
            except OSError as error:
                why = error.strerror or str(error)
                found[picture] = (b"", UnreadablePicturesError([(picture, why)]))
        # All of them or none: the last bits of what is seen depend on the pictures that are seen together,
        # and a run that was killed here must go on with the same.
        if any(found[picture][0] not in self._places for picture in files):
            for picture, data in files.items():
                try:
                    images[picture] = open_picture(picture, data)
                except UnreadablePicturesError as error:
                    found[picture] = (b"", error)
        if images:
            rows = split(seer(list(images.values())))
            for picture, tensors in zip(images, rows, strict=True):
                found[picture] = (found[picture][0], self._packed(tensors))
        return [(picture, *result) for picture, result in found.items()]

    def _packed(self, tensors: Sequence[Tensor]) -> bytes:
        return b"".join(
            np.ascontiguousarray(tensor.cpu().numpy().astype(part.dtype)).tobytes()
            for tensor, part in zip(tensors, self._parts, strict=True)
        )

    def read(self, pictures: Sequence[Path]) -> Memory:
        """What the encoder yields for n pictures that were added."""
        rows = self._map[[self._of[picture] for picture in pictures]]  # (n, bytes), read from the disk here
        tensors, start = [], 0
        for part in self._parts:
            block = np.ascontiguousarray(rows[:, start : start + part.bytes]).view(part.dtype)
            wide = block.astype(np.int64 if part.dtype.kind == "i" else np.float32)
            tensors.append(torch.from_numpy(wide.reshape(len(rows), *part.shape)))
            start += part.bytes
        return tuple(tensors) if self._several else tensors[0]


def _layout(encoder: Encoder, *, half: bool) -> list[_Part]:
    if encoder.yields == "codes":
        return [_Part((encoder.positions,), np.dtype(np.int32))]
    number = np.dtype(np.float16 if half else np.float32)
    if encoder.yields == "grid":
        return [_Part((encoder.positions, encoder.widths[0]), number)]
    return [_Part((width,), number) for width in encoder.widths]


def _differing(theirs: Any, ours: Any) -> str:
    """The first setting that differs, with both values, in brackets."""
    if not isinstance(theirs, Mapping) or not isinstance(ours, Mapping):
        return ""
    for name in sorted({*theirs, *ours}):
        if theirs.get(name) != ours.get(name):
            return f" ({name} {theirs.get(name)!r} instead of {ours.get(name)!r})"
    return ""


def _files(path: Path) -> dict[str, Any]:
    """{} where it is missing or damaged: it only saves reading the pictures again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _write(file: Any, data: bytes) -> None:
    """All of it: an unbuffered file may take a part where the disk ends, and refuse only the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
