"""Models of the Hugging Face hub on this machine: their settings, files and fetching, without torch.

The files lie in the hub's own cache layout (``models--ORG--NAME/{refs,snapshots}``), in MODELS_DIR or in the
hub's cache (``HF_HUB_CACHE``, ``HF_HOME``). All that is asked of the hub is asked by ``huggingface_hub``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inference.checkpoints.names import HubModel
from inference.checkpoints.prompts import Prompts
from inference.common import settings_file
from inference.common.interpreter import PYTHON
from inference.common.types import UnknownModel

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONFIG = "config.json"
# What a model needs besides its weights. Nothing that could be run.
_TEXT_FILES = ("*.json", "*.txt", "*.model", "*.spm", "*.jinja", "*.tiktoken")


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
    def of(cls, model: HubModel, translation: HubModel | None = None) -> Self:
        """Settings from what the name says, the environment and ``.env``. Raises UnknownModel."""
        values = {**settings_file.written(), **os.environ}
        usual = values.get("HUB_TRANSLATION")
        return cls(
            model,
            translation or (HubModel.parse(usual) if usual else None),
            (values.get("HUB_PROMPT") or "").strip() or None,
        )


def caches(models_dir: Path | None) -> tuple[Path, ...]:
    """Where snapshots are looked for, first place first; what is fetched goes to the last one."""
    from huggingface_hub import constants  # noqa: PLC0415 - a slow import that few need

    hub = Path(constants.HF_HUB_CACHE)
    return (hub,) if models_dir is None else (models_dir, hub)


def _folder(model: HubModel) -> str:
    """The name of its folder in a cache."""
    return "models--" + model.repo.replace("/", "--")


def find_snapshot(model: HubModel, models_dir: Path | None) -> Path:
    """The folder of the model's files, named by its commit. Nothing is fetched.

    Raises UnknownModel when the model is not on this machine, or only in part.
    """
    partial = False
    for cache in caches(models_dir):
        repo = cache / _folder(model)
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
        f"'{PYTHON} -m inference pull {model.name}', or copy its folder {_folder(model)} from another "
        f"machine to {caches(models_dir)[0]}."
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


def takes_chat(snapshot: Path) -> bool:
    """Whether a model's files say how a conversation is put to it: then it answers questions."""
    if any((snapshot / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    for name in ("processor_config.json", "tokenizer_config.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads((snapshot / name).read_text(encoding="utf-8")).get("chat_template"):
                return True
    return False


def checkpoint(settings: HubSettings, models_dir: Path | None) -> str:
    """What the captions depend on: the commit of the model's snapshot, 40 hexadecimal digits.

    With a prompt, prompts of the operator's or a translation model, "-" and 8 digits more that change with
    those.
    Raises UnknownModel when one of the models is not on this machine.
    """
    commit = find_snapshot(settings.model, models_dir).name
    translation = settings.translation and find_snapshot(settings.translation, models_dir).name
    prompts = Prompts.of()
    if settings.prompt is None and translation is None and not prompts.replaced:
        return commit
    own = [prompts.hash] if prompts.replaced else []
    extra = json.dumps([settings.prompt, str(settings.translation), translation, *own])
    return f"{commit}-{hashlib.sha256(extra.encode()).hexdigest()[:8]}"


def fetch(model: HubModel, models_dir: Path | None) -> Path:
    """The model's snapshot, fetched from the hub (with progress; whole files of an earlier try are kept) if
    need be.

    Raises UnknownModel when it is neither here nor to be had.
    """
    try:
        return find_snapshot(model, models_dir)
    except UnknownModel as error:
        missing = error
    from huggingface_hub import HfApi, constants, snapshot_download  # noqa: PLC0415

    if constants.is_offline_mode():
        raise missing
    with _sentences(model, str(missing)):
        files = HfApi(endpoint=_endpoint()).list_repo_files(model.repo, revision=model.revision)
        snapshot_download(
            model.repo,
            revision=model.revision,
            cache_dir=caches(models_dir)[-1],
            endpoint=_endpoint(),
            allow_patterns=[*_TEXT_FILES, *_weights(model, files)],
        )
    return find_snapshot(model, models_dir)


def file_url(repo: str, file: str) -> str:
    """Where the newest version of a repository's file is. Raises ValueError for what is no repository."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415

    return hf_hub_url(repo, file, endpoint=_endpoint())


def published_sha256(repo: str, file: str) -> str:
    """What the hub says of that file, 64 hexadecimal digits; "" for a small one, of which it does not know.

    Raises UnknownModel when there is no such file, or the hub cannot be asked.
    """
    from huggingface_hub import get_hf_file_metadata  # noqa: PLC0415
    from huggingface_hub.errors import RemoteEntryNotFoundError  # noqa: PLC0415

    with _sentences(HubModel(repo), f"{file} of {repo} cannot be fetched: check the network."):
        try:
            stated = get_hf_file_metadata(file_url(repo, file), retry_on_errors=True).etag or ""
        except RemoteEntryNotFoundError as error:
            raise UnknownModel(
                f"The hub model {repo} has no file {file}: its author may have moved it, so look for it."
            ) from error
    return stated if _SHA256.fullmatch(stated) else ""


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextlib.contextmanager
def _sentences(model: HubModel, unreachable: str) -> Iterator[None]:
    """Makes UnknownModel's sentences of what the hub's client raises. ``unreachable``: the sentence where the
    hub does not answer; the reason is put behind it.
    """
    from huggingface_hub.errors import (  # noqa: PLC0415
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
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
    except (HfHubHTTPError, OSError) as error:
        raise UnknownModel(f"{unreachable} (The hub cannot be reached: {_first_line(error)})") from error
    except Exception as error:
        # The hub's client raises errors of its HTTP library that have no base class in common with OSError.
        if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "requests"}:
            raise UnknownModel(f"{unreachable} (The hub cannot be reached: {_first_line(error)})") from error
        raise


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
