"""What a backup is called inside, and what it says of itself."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import IO, Self

from bot.feedback.database import StoreError

DATABASE, ERASED, MANIFEST = "bot.db.gz", "erased.jsonl", "manifest.json"
FORMAT = 1
PORTION = 1 << 20  # bytes that are read at a time

Tell = Callable[[str], None]
"""Takes a line about how far something is, for the operator."""


class BackupError(StoreError):
    """There is no backup, or it cannot be restored: ``str()`` says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds."""

    made_at: str  # ISO 8601, UTC: the moment of which it is
    revision: str  # of the database's tables
    database_sha256: str  # of SQLite's file, unpacked
    pictures: int
    picture_bytes: int
    missing: int  # kept pictures whose files were not there, or not whole: their rows name none here
    rows: dict[str, int] = field(default_factory=dict)  # by table
    format: int = FORMAT

    def __str__(self) -> str:
        counts = ", ".join(f"{self.rows.get(name, 0)} {name}" for name in ("users", "captions", "ratings"))
        text = f"{counts}, {self.pictures} pictures ({self.picture_bytes / 1e6:.1f} MB) of {self.made_at}."
        if self.missing:
            text += (
                f" The files of {self.missing} kept pictures were not there or not whole: they are left out."
            )
        return text

    def to_json(self) -> bytes:
        """As it stands in the backup."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def of(cls, archive: tarfile.TarFile) -> Self:
        """The manifest of a backup. Raises BackupError where it has none, or is of a later version."""
        try:
            told = json.loads(member(archive, MANIFEST).read())
            if not isinstance(told, dict):
                raise TypeError(told)
            if told["format"] > FORMAT:
                raise BackupError(
                    "This backup was made by a newer version of this project; update the bot first."
                )
            return cls(**{one.name: told[one.name] for one in fields(cls)})
        except (KeyError, TypeError, ValueError) as error:
            raise damaged("it has no manifest, with which a backup ends") from error


def member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """What stands there under this name. Raises KeyError."""
    found = archive.extractfile(archive.getmember(name))
    if found is None:
        raise KeyError(name)
    return found


def damaged(why: str) -> BackupError:
    """The sentence about a file that is no whole backup."""
    return BackupError(f"This is no whole backup ({why}); take another one.")
