"""Pictures of a data set: opened once to see whether they can be, hashed, and taken into `images/`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from inference.common.errors import UserError
from inference.common.file_names import name_of
from inference.common.types import PictureError
from inference.pictures.kinds import PICTURE_SUFFIXES
from inference.pictures.opening import load_picture
from train_scripts.data.journal import append_rows, kept_rows
from train_scripts.pictures import picture_bytes

__all__ = ["HASH_BITS", "Seen", "inspect", "safe_names", "take"]

HASH_BITS = 256
_SIDE = 16  # HASH_BITS ** .5
_AHEAD = 64  # pictures in work at once
_SAFE = re.compile(r"[^\w.()+-]+")
_LONGEST = 120  # characters of one part of a name
_MOST_BYTES = 200  # that they are; a file system takes 255 of a whole name


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found when a picture was opened. `hash`: 64 hexadecimal digits; or `error` says why not."""

    hash: str = ""
    error: str | None = None


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def look(path: Path) -> Seen:
    """Opens a picture as the models do, and takes its perceptual hash.

    The hash is pHash (a DCT of the picture at 64 x 64 grey pixels, its 16 x 16 lowest frequencies against
    their median) of 256 bits: the usual 64 bits cannot tell two memes of one template apart.
    """
    try:
        image = load_picture(picture_bytes(path)).image
    except PictureError as error:
        # What comes behind the colon is said to somebody who sends the picture.
        return Seen(error=str(error).partition(":")[0].rstrip(".") + ".")
    except OSError as error:
        return Seen(error=f"The file cannot be read ({error.strerror}).")
    import imagehash  # noqa: PLC0415 - the commands' help does without

    return Seen(str(imagehash.phash(image, hash_size=_SIDE)))


def inspect(paths: Iterable[Path], journal: Path) -> dict[Path, Seen]:
    """Looks at each picture once, with all processor cores. Those in the journal that have not changed since
    are not opened again. Raises OSError when the journal cannot be written, UserError when it is
    damaged.
    """
    known: dict[str, tuple[list[int], Seen]] = {}
    for row in kept_rows(journal, "path", "identity", "hash", "error"):
        known[row["path"]] = (row["identity"], Seen(row["hash"], row["error"]))
    found: dict[Path, Seen] = {}
    todo = []
    for path in dict.fromkeys(paths):
        before = known.get(name_of(path.resolve()))
        if before is not None and before[0] == _identity(path):
            found[path] = before[1]
        else:
            todo.append(path)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(todo), desc="Looking at the pictures", unit="picture", disable=None) as bar,
    ):
        for start in range(0, len(todo), _AHEAD):
            batch = todo[start : start + _AHEAD]
            identities = [_identity(path) for path in batch]
            seen = list(pool.map(look, batch))
            append_rows(
                journal,
                (
                    {"path": name_of(path.resolve()), "identity": i, "hash": one.hash, "error": one.error}
                    for path, i, one in zip(batch, identities, seen, strict=True)
                ),
            )
            found.update(zip(batch, seen, strict=True))
            bar.update(len(batch))
    return found


def safe_names(pictures: Iterable[tuple[str, Path]]) -> dict[Path, str]:
    """A name below `images/` for each picture file, from the name it has in its source.

    Folders in a name stay; what could leave the folder, hide a file or trouble a file system is replaced, and
    a name that was changed, or is another picture's already, gets 8 digits of its hash.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for name, path in pictures:
        if path in names:
            continue
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in {"/", ".."}]
        if parts[:1] == ["images"]:
            parts = parts[1:]
        clean = [_SAFE.sub("_", part).lstrip(".") or "_" for part in parts] or ["_"]
        stem, suffix = Path(clean[-1]).stem, Path(clean[-1]).suffix
        if suffix.lower() not in PICTURE_SUFFIXES:
            stem, suffix = clean[-1], _suffix(path)
        stem = _cut(stem)
        clean = [*map(_cut, clean[:-1]), stem + suffix]
        chosen = "/".join(clean)
        if clean != parts or chosen.casefold() in taken:
            digits = hashlib.sha256(f"{name}\0{path}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
            clean[-1] = f"{stem}-{digits}{suffix}"
            chosen = "/".join(clean)
        taken.add(chosen.casefold())
        names[path] = f"images/{chosen}"
    return names


def _cut(part: str) -> str:
    return part[:_LONGEST].encode()[:_MOST_BYTES].decode(errors="ignore")


def _suffix(path: Path) -> str:
    """By the file's first bytes, for a name that does not tell."""
    with path.open("rb") as file:
        head = file.read(12)
    starts = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"II*": ".tif"}
    if head[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for start, suffix in starts.items() if head.startswith(start)), ".jpg")


def take(pictures: Mapping[Path, str], folder: Path, *, link: bool) -> None:
    """Brings each picture to `folder / name`, each whole or not at all; what is there already stays.

    `link`: hard links instead of copies, where both are on one disk. Files below `folder/images` that are no
    picture of this set are deleted: they are of an earlier run. Raises UserError when the disk is full.
    """
    wanted = {folder / name for name in pictures.values()}
    for path in sorted((folder / "images").rglob("*"), reverse=True):
        if path.is_file() and path not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    bring: Callable[[Path, Path], None] = _link if link else _copy
    for path, name in tqdm(pictures.items(), desc="Taking the pictures", unit="picture", disable=None):
        target = folder / name
        if target.exists() and _identity(target) == _identity(path):
            continue
        part = target.with_name(f".{target.name[-100:]}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            bring(path, part)
            part.replace(target)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UserError(
                f"{path} cannot be taken into {folder} ({error.strerror}): make room there and run the same "
                "command again, it goes on from here."
            ) from None


def _copy(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)
    shutil.copystat(path, target)  # its time of change tells later whether it is still the same


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path.resolve())
    except OSError:  # another disk, or a file system without links
        _copy(path, target)
