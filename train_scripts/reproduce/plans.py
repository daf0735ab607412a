"""What is reproduced and from what, as data: `systems/NAME.yaml` and `data.yaml`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.checkpoints.pull.entries import Remote, Weights
from inference.common.errors import UserError
from inference.common.registry import hint
from inference.common.yaml_files import complaint, read_yaml

__all__ = [
    "Archive",
    "Catalogue",
    "DataSet",
    "System",
    "Unpacked",
    "read_catalogue",
    "read_system",
    "system_names",
]

_HERE = Path(__file__).resolve().parent
_SYSTEMS = _HERE / "systems"
_DATA = _HERE / "data.yaml"


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=_Data)


class Archive(_Data):
    """A zip archive of its author's: fetched from ``url``, or by hand, as ``page`` says."""

    what: str
    url: str = ""
    page: str = ""
    megabytes: float = Field(default=0.0, ge=0)  # about; 0: nobody states it

    @model_validator(mode="after")
    def _somewhere(self) -> Archive:
        if bool(self.url) == bool(self.page):
            raise ValueError("an archive has either a url or a page")
        return self

    def remote(self, name: str) -> Weights | None:
        """What ``pull`` fetches, as NAME/NAME.zip; None: it is fetched by hand."""
        file = Remote(self.url, file=f"{name}.zip", megabytes=self.megabytes)
        return Weights(name, self.what, (file,)) if self.url else None


class Unpacked(_Data):
    """A folder of those files of its archives whose path fits ``files``, a pattern as of :mod:`fnmatch`."""

    archives: tuple[str, ...] = Field(min_length=1)
    files: str


class DataSet(_Data):
    """What ``prepare`` makes a data set of: by split a file in an unpacked folder (FOLDER/FILE), a table with
    the columns uid and text or, in JSON, captions in COCO's form; and the folder of the pictures.
    ``translate``: the model of the hub that turns English captions into Russian ones."""

    files: dict[Literal["train", "val", "test"], str]
    pictures: str
    translate: str | None = None

    @property
    def folders(self) -> list[str]:
        """The unpacked folders that it is made of, each once."""
        return list(
            dict.fromkeys([*(PurePosixPath(file).parts[0] for file in self.files.values()), self.pictures])
        )


class Catalogue(_Data):
    """Everything in ``data.yaml``, by name."""

    archives: dict[str, Archive]
    folders: dict[str, Unpacked]
    sets: dict[str, DataSet]

    @model_validator(mode="after")
    def _whole(self) -> Catalogue:
        named = {archive for folder in self.folders.values() for archive in folder.archives}
        used = {folder for one in self.sets.values() for folder in one.folders}
        for names, known in ((named, self.archives), (used, self.folders)):
            if missing := sorted(names - known.keys()):
                raise ValueError(f"{missing[0]!r} is used but not described")
        return self


class System(_Data):
    """One published captioner. ``data``: the data set behind each source of the recipe; ``test``: the one
    whose test split is scored; ``model``: what the bot calls it; ``original``: its author's scores, by the
    keys of the evaluator."""

    recipe: str
    data: dict[str, str]
    test: str
    model: str
    original: dict[str, float]


def system_names() -> list[str]:
    """Of the captioners that can be reproduced."""
    return sorted(path.stem for path in _SYSTEMS.glob("*.yaml"))


def read_system(name: str) -> System:
    """The named one. Raises UserError when there is none."""
    if name not in system_names():
        raise UserError(f"There is no {name!r} to reproduce: {hint(name, system_names())}")
    return _read(_SYSTEMS / f"{name}.yaml", System)


def read_catalogue() -> Catalogue:
    """The archives, folders and data sets that come with the project."""
    return _read(_DATA, Catalogue)


def _read(path: Path, kind: type[Kind]) -> Kind:
    values = read_yaml(path, "list", system_names())
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(complaint(error, kind, [(str(path), values)], "add it")) from None
