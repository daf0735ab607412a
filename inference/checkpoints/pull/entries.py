"""Which weights are known, and where their files are."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoints import hub
from inference.common.extras import require
from inference.common.file_names import is_plain
from inference.common.types import EngineError

_MARKS = "%/:?#[]@!$&'()*+,;=~"  # what an address may hold besides letters and digits


class PullError(EngineError):
    """A file cannot be fetched, or is not what it should be: ``str()`` is one sentence."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One file to fetch.

    ``url``: http(s), ``hf:ORG/REPOSITORY/FILE`` of the Hugging Face hub, or ``torchvision:MODEL/WEIGHTS`` of
    torchvision's enum. ``member``: the file to take out of a zip archive, which is then deleted.
    ``megabytes``: about, of what is fetched; 0: not known beforehand.
    """

    url: str
    sha256: str = ""  # 64 hexadecimal digits where they are known
    file: str = ""  # its name here; "": as in the address
    member: str = ""
    megabytes: float = 0.0

    @property
    def hub_file(self) -> tuple[str, str] | None:
        """(ORG/REPOSITORY, FILE) of a file of the hub, None of all others. Raises ValueError."""
        scheme, _, rest = self.url.partition(":")
        if scheme != "hf":
            return None
        organisation, repository, file = rest.split("/", 2)
        return f"{organisation}/{repository}", file

    def address(self) -> str:
        """The http(s) address, in ASCII. Raises PullError when ``url`` is none."""
        url = self.url
        try:
            if self.hub_file is not None:
                url = hub.file_url(*self.hub_file)
            elif url.startswith("torchvision:"):
                url = _torchvision_url(url.removeprefix("torchvision:"))
            elif not urllib.parse.urlsplit(url).hostname:
                raise ValueError(url)
        except (ValueError, KeyError) as error:
            raise PullError(
                f"{url!r} is no address of weights: write https://..., hf:ORG/REPOSITORY/FILE or "
                "torchvision:MODEL/WEIGHTS."
            ) from error
        return urllib.parse.quote(url, safe=_MARKS)


@dataclass(frozen=True, slots=True)
class Weights:
    """Files that belong together."""

    name: str
    what: str  # one line
    files: tuple[Remote, ...]

    @property
    def megabytes(self) -> float:
        """About, of all files whose size is known; 0: of none."""
        return sum(file.megabytes for file in self.files)


def read_list(path: Path) -> dict[str, Weights]:
    """Entries of a list, by name: JSON, ``[{"name", "what", "files": [{"url", "sha256", "file",
    "member", "megabytes"}]}]``, where only names and addresses must be given, as in ``known.json``. Raises
    PullError.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        entries = [
            Weights(
                str(row["name"]), str(row.get("what", "")), tuple(Remote(**file) for file in row["files"])
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PullError(
            f'{path} is no list of weights ({error}): it must be JSON, [{{"name": ..., "files": [{{"url": '
            "...}]}]."
        ) from error
    for entry in entries:
        if not is_plain(entry.name):
            raise PullError(f"{path} names an entry {entry.name!r}, which is no name of a folder: change it.")
    return {entry.name: entry for entry in entries}


KNOWN = read_list(Path(__file__).with_name("known.json"))


def _torchvision_url(name: str) -> str:
    """Raises ValueError or KeyError when torchvision knows no weights ``MODEL/WEIGHTS``, NotInstalled without
    torchvision."""
    require("models", f"The address of torchvision's weights {name}")
    import torchvision  # noqa: PLC0415 - heavy, and only for its own files

    model, _, weights = name.partition("/")
    url: str = torchvision.models.get_model_weights(model)[weights].url
    return url
