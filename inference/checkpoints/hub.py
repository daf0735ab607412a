"""Models of the Hugging Face hub on this machine: their names, files and fetching, without torch.

A name is ``hf:ORG/NAME``, at will with ``@REVISION`` (a branch, a tag or a commit; else ``main``), and at
will with ``+ORG/NAME`` behind it, the model that translates its English captions and, behind any model's
name, the English words read. The files lie in the hub's own cache layout
(``models--ORG--NAME/{refs,snapshots}``), in MODELS_DIR or in the hub's cache (``HF_HUB_CACHE``, ``HF_HOME``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dotenv import dotenv_values

from inference.common.types import UnknownModel

PREFIX = "hf:"

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"({_PART}(?:/{_PART})?)(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CONFIG = "config.json"
# What a model needs besides its weights. Nothing that could be run.
_TEXT_FILES = ("*.json", "*.txt", "*.model", "*.spm", "*.jinja", "*.tiktoken")


@dataclass(frozen=True, slots=True)
class HubModel:
    """One repository at one revision."""

    repo: str  # ORG/NAME
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> Self:
        """``ORG/NAME`` or ``ORG/NAME@REVISION``. Raises UnknownModel for anything else."""
        match = _NAME.fullmatch(text.strip())
        # The name may come from a chat and becomes part of a path.
        if match is None or ".." in text:
            raise UnknownModel(
                f"{text!r} is no name of a hub model: write it as ORG/NAME or ORG/NAME@REVISION."
            )
        return cls(match[1], match[2] or "main")

    def __str__(self) -> str:
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"

    @property
    def folder(self) -> str:
        """The name of its folder in a cache."""
        return "models--" + self.repo.replace("/", "--")


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What the operator wants of a hub captioner.

    ``prompt``: HUB_PROMPT, None = ours for chat models and none for the others. ``translation``: the model
    behind the name's ``+``, else HUB_TRANSLATION; None = captions and words are left as they are.
    """

    model: HubModel
    translation: HubModel | None = None
    prompt: str | None = None

    @classmethod
    def of(cls, name: str) -> Self:
        """Settings from the name (``hf:...``), the environment and ``.env``. Raises UnknownModel."""
        plain, translation = without_translation(name)
        values = {**dotenv_values(".env"), **os.environ}
        usual = (values.get("HUB_TRANSLATION") or "").removeprefix(PREFIX)
        return cls(
            HubModel.parse(plain.removeprefix(PREFIX)),
            translation or (HubModel.parse(usual) if usual else None),
            (values.get("HUB_PROMPT") or "").strip() or None,
        )


def plain_name(name: str) -> str:
    """Any model's name without its ``+ORG/NAME``."""
    return name.partition("+")[0]


def without_translation(name: str) -> tuple[str, HubModel | None]:
    """Any model's name without its ``+ORG/NAME``, and the model that this names. Raises UnknownModel."""
    plain = plain_name(name)
    translation = name[len(plain) + 1 :]
    return plain, HubModel.parse(translation.removeprefix(PREFIX)) if translation else None


def caches(models_dir: Path | None) -> tuple[Path, ...]:
    """Where snapshots are looked for, first place first; what is fetched goes to the last one."""
    from huggingface_hub import constants  # noqa: PLC0415 - a slow import that few need

    hub = Path(constants.HF_HUB_CACHE)
    return (hub,) if models_dir is None else (models_dir, hub)


def find_snapshot(model: HubModel, models_dir: Path | None) -> Path:
    """The folder of the model's files, named by its commit. Nothing is fetched.

    Raises UnknownModel when the model is not on this machine, or only in part.
    """
    partial = False
    for cache in caches(models_dir):
        repo = cache / model.folder
        commit = model.revision
        if not _COMMIT.fullmatch(commit):
            try:
                commit = (repo / "refs" / model.revision).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
        snapshot = repo / "snapshots" / commit
        if _COMMIT.fullmatch(commit) and (snapshot / _CONFIG).is_file():
            if weight_files(snapshot):
                return snapshot
            partial = True
    there = "only in part on this machine" if partial else "not on this machine"
    raise UnknownModel(
        f"The hub model {model} is {there}: connect to the internet and run "
        f"'python -m inference pull {PREFIX}{model}', or copy its folder {model.folder} from another machine "
        f"to {caches(models_dir)[0]}."
    )


def weight_files(snapshot: Path) -> list[Path]:
    """The files that hold all of the model's weights, safetensors where there are any; [] = not all there."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = snapshot / f"{stem}.{suffix}.index.json"
        whole = snapshot / f"{stem}.{suffix}"
        if whole.is_file():
            return [whole]
        if index.is_file():
            try:
                names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return []
            files = [snapshot / Path(str(name)).name for name in names]
            return files if all(file.is_file() for file in files) else []
    return []


def checkpoint(name: str, models_dir: Path | None) -> str:
    """What the captions of ``hf:...`` depend on: the commit of its snapshot, 40 hexadecimal digits.

    With a prompt or a translation model of the operator's, "-" and 8 digits more that change with those.
    Raises UnknownModel when one of the models is not on this machine.
    """
    settings = HubSettings.of(name)
    commit = find_snapshot(settings.model, models_dir).name
    translation = settings.translation and find_snapshot(settings.translation, models_dir).name
    if settings.prompt is None and translation is None:
        return commit
    extra = json.dumps([settings.prompt, str(settings.translation), translation])
    return f"{commit}-{hashlib.sha256(extra.encode()).hexdigest()[:8]}"


def fetch(model: HubModel, models_dir: Path | None) -> Path:
    """The model's snapshot, fetched from the hub (with progress, resumed where it broke off) if need be.

    Raises UnknownModel when it is neither here nor to be had.
    """
    try:
        return find_snapshot(model, models_dir)
    except UnknownModel as error:
        missing = error
    from huggingface_hub import HfApi, constants, snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import (  # noqa: PLC0415
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if constants.is_offline_mode():
        raise missing
    cache, endpoint = caches(models_dir)[-1], os.environ.get("HF_ENDPOINT") or None
    try:
        files = HfApi(endpoint=endpoint).list_repo_files(model.repo, revision=model.revision)
        snapshot_download(
            model.repo,
            revision=model.revision,
            cache_dir=cache,
            endpoint=endpoint,
            allow_patterns=[*_TEXT_FILES, *_weights(model, files)],
        )
    except GatedRepoError as error:
        raise UnknownModel(
            f"The hub model {model} is only for people who accepted its terms: accept them on its page, "
            "then set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise UnknownModel(
            f"The hub has no model {model.repo}: check its name, and HF_TOKEN if it is private."
        ) from error
    except RevisionNotFoundError as error:
        raise UnknownModel(
            f"The hub model {model.repo} has no revision {model.revision}: choose another after @."
        ) from error
    except (HfHubHTTPError, OSError, ConnectionError) as error:
        raise UnknownModel(f"{missing} (The hub cannot be reached: {_first_line(error)})") from error
    except Exception as error:
        # The hub's client raises errors of its HTTP library that have no base class in common with OSError.
        if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "requests"}:
            raise UnknownModel(f"{missing} (The hub cannot be reached: {_first_line(error)})") from error
        raise
    return find_snapshot(model, models_dir)


def _weights(model: HubModel, files: Sequence[str]) -> list[str]:
    """Of a repository's files those that hold the weights, once: many have them in several formats."""
    for pattern in (r"model(-\d+-of-\d+)?\.safetensors", r"pytorch_model(-\d+-of-\d+)?\.bin"):
        found = [file for file in files if re.fullmatch(pattern, file)]
        if found:
            return found
    raise UnknownModel(
        f"The hub model {model} has no weights in the formats of PyTorch (model.safetensors or "
        "pytorch_model.bin): choose another."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
