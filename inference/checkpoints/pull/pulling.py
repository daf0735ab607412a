"""Known weights into MODELS_DIR: each file fetched, compared with its published sha256, and recorded.

An entry's files lie in ``models_dir/NAME/`` under the names their authors gave them, with a manifest of their
sha256. A sha256 that is known beforehand is compared: one that the list of weights holds, what the Hugging
Face hub says of its large files, or the digits in torchvision's file names. Where there is none, the one that
was computed is recorded and called so.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoints import hub, manifest
from inference.checkpoints.pull.download import PAUSES, Progress, download, forget, forget_version, size
from inference.checkpoints.pull.entries import KNOWN, PullError, Remote, Weights
from inference.common.file_names import is_plain
from inference.common.locks import Locked, locked

# What ends torchvision's file names: the first digits of the sha256.
_DIGITS = re.compile(r"-([0-9a-f]{8})\.[a-z]+$")

Display = Callable[[str], contextlib.AbstractContextManager[Progress]]  # of a file's name


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one file."""

    path: Path
    sha256: str
    checked: str  # against what: "published", "hub", "name"; "" where nothing is known
    fetched: bool  # False: it was there already, and is as it was recorded


def find_pulled(models_dir: Path, name: str) -> Path | None:
    """The folder of an entry whose files have all been fetched; None where they have not."""
    folder = models_dir / name
    try:
        there = [file for file in manifest.read_manifest(folder) if (folder / file).is_file()]
    except manifest.ManifestError:
        return None
    expected = len(KNOWN[name].files) if name in KNOWN else 1
    return folder if len(there) >= expected else None


def pull(
    weights: Weights,
    models_dir: Path,
    *,
    progress: Display = lambda _: contextlib.nullcontext(lambda *_: None),
    pauses: Sequence[float] = PAUSES,
) -> Iterator[Pulled]:
    """Fetches what is missing of an entry's files, one after the other, each told when it is done.

    ``progress``: opens a display for a file's name. ``pauses``: seconds before each further try.

    Raises PullError when a file cannot be fetched, is not what it should be, or there is no room for it;
    UnknownModel when the hub does not have it, or cannot be asked.
    """
    folder = models_dir / weights.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for remote in weights.files:
            yield _pull_file(remote, folder, progress, pauses)
    except OSError as error:
        raise PullError(
            f"{folder} cannot be written ({error.strerror or error}): make room or name another --models-dir."
        ) from error


def _pull_file(remote: Remote, folder: Path, progress: Display, pauses: Sequence[float]) -> Pulled:
    url = remote.address()
    name = remote.file or urllib.parse.unquote(url.split("?", 1)[0].rsplit("/", 1)[-1])
    for kept in (name, remote.member or name):
        if not is_plain(kept):
            raise PullError(
                f"{url} would be kept as {kept!r}, which is no file's name: give it a file of one."
            )
    final = folder / (remote.member or name)
    if (there := _there(remote, final)) is not None:
        return there
    part = folder / f"{name}.part"
    with _locked(part), progress(final.name) as tell:
        expected, checked = _expected(remote, url)
        found = _checked_download(url, part, expected, tell, pauses)
        whole = part
        if remote.member:
            whole = _taken_out(part, remote.member, final)
            found = manifest.sha256_of(whole)
        # Recorded first: whatever stops it here, what has come does not come again.
        manifest.record(folder, {final.name: manifest.entry_of(whole, url=url, checked=checked)})
        whole.replace(final)
        if remote.member:
            part.unlink()
    return Pulled(final, found, checked, fetched=True)


def _there(remote: Remote, final: Path) -> Pulled | None:
    """The file of an earlier run, if it is as it was recorded and as it should be."""
    if not final.is_file():
        return None
    try:
        entry = manifest.read_manifest(final.parent).get(final.name)
    except manifest.ManifestError:
        return None
    if entry is None or manifest.sha256_of(final) != entry["sha256"]:
        return None
    if remote.sha256 and not remote.member and remote.sha256 != entry["sha256"]:
        return None
    return Pulled(final, entry["sha256"], entry.get("checked", ""), fetched=False)


def _expected(remote: Remote, url: str) -> tuple[str, str]:
    """(the sha256 or its first digits, who says so); two "" where nobody does."""
    if remote.sha256:
        return remote.sha256.lower(), "published"
    if remote.hub_file is not None and (stated := hub.published_sha256(*remote.hub_file)):
        return stated, "hub"
    digits = _DIGITS.search(url)
    return (digits[1], "name") if digits else ("", "")


def _checked_download(url: str, part: Path, expected: str, tell: Progress, pauses: Sequence[float]) -> str:
    """The sha256 of what was fetched. What does not agree is deleted; what had been continued from an earlier
    run is fetched once more from its beginning first."""
    while True:
        continued = size(part) > 0
        download(url, part, tell, pauses)
        found = manifest.sha256_of(part)
        if found.startswith(expected):
            forget_version(part)
            return found
        forget(part)
        if not continued:
            raise PullError(
                f"{url} has the sha256 {found}, but {expected} was expected: the file was deleted, so try "
                "again later or fetch it from another source."
            )


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """One process at a time writes a file."""
    lock = part.with_suffix(".lock")
    try:
        with locked(lock):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Locked as error:
        raise PullError(f"{part.stem} is being fetched by another process: wait for it.") from error


def _taken_out(archive: Path, member: str, final: Path) -> Path:
    """One file of a zip archive, beside the place where it will be."""
    part = final.with_name(f"{final.name}.part")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError) as error:
        forget(archive)
        raise PullError(f"{archive.stem} is no archive with a {member} in it: try again later.") from error
    return part
