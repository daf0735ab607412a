"""The checkpoints in a folder: what they are called and what they hold, without loading torch.

A checkpoint is a folder with ``config.json``, ``model.safetensors``, its tokenizer and a model card
``README.md``; the folder's name is the model's name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from inference.types import EngineError, UnknownModel

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model a person can choose."""

    name: str
    checkpoint: str  # sha256 of the weights, 64 hexadecimal digits
    description: str  # the first paragraph of the model card, on one line; "" without a card
    parameters: int  # numbers in all tensors of the weights


def list_models(models_dir: Path) -> list[ModelInfo]:
    """All models of the folder, by name. A damaged one is left out with a warning in the log."""
    if not models_dir.is_dir():
        return []
    models = []
    for folder in sorted(models_dir.iterdir()):
        if (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
            try:
                models.append(model_info(models_dir, folder.name))
            except EngineError as error:
                logger.warning("%s", error)
    return models


def model_info(models_dir: Path, name: str) -> ModelInfo:
    """The named model. Raises UnknownModel, or EngineError when its weights are damaged."""
    folder = find_model(models_dir, name)
    return ModelInfo(
        name=name,
        checkpoint=checkpoint_hash(models_dir, name),
        description=_first_paragraph(folder / CARD_FILE),
        parameters=_count_parameters(folder / WEIGHTS_FILE),
    )


def find_model(models_dir: Path, name: str) -> Path:
    """The folder of the named model. Raises UnknownModel with the names there are."""
    folder = models_dir / name
    # The name may come from a chat: it must be the name of a folder here, not a way to another one.
    is_plain = name not in {"", ".", ".."} and Path(name).name == name
    if is_plain and (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
        return folder
    names = [path.parent.name for path in sorted(models_dir.glob(f"*/{WEIGHTS_FILE}"))]
    choice = f"choose one of {', '.join(names)}" if names else "put a checkpoint there first"
    raise UnknownModel(f"There is no model named {name!r} in {models_dir}: {choice}.")


def checkpoint_hash(models_dir: Path, name: str) -> str:
    """sha256 of the named model's weights, 64 hexadecimal digits.

    The first call for a file reads all of it; later ones only look whether its size and time are the same.
    Raises UnknownModel, or EngineError when the file cannot be read.
    """
    weights = find_model(models_dir, name) / WEIGHTS_FILE
    try:
        status = weights.stat()
        return _sha256(weights.resolve(), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise EngineError(f"{weights} cannot be read ({error.strerror}): check its permissions.") from error


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - they make the cache's key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count_parameters(weights: Path) -> int:
    """From the header of the safetensors file: a 64-bit length, then JSON with every tensor's shape."""
    try:
        with weights.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise EngineError(f"{weights} is not a safetensors file, or a damaged one: get it anew.") from error


def _first_paragraph(card: Path) -> str:
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    if lines and lines[0].strip() == "---":  # the card's YAML front matter
        end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
        lines = lines[end + 1 :]
    paragraph: list[str] = []
    for line in lines:
        text = line.strip()
        if text and not text.startswith(("#", "!", "<", "|", "```")):
            paragraph.append(text)
        elif paragraph:
            break
    return " ".join(paragraph)
