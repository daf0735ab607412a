"""The models there are: what they are called and what they hold, without loading torch.

A checkpoint is a folder of MODELS_DIR with ``config.json``, ``model.safetensors``, its tokenizer and a model
card ``README.md``; the folder's name is the model's name. Two kinds of models have no such folder:
``coco-objects``, and those of the Hugging Face hub, ``hf:ORG/NAME``. Behind any name may stand ``+ORG/NAME``,
a model of the hub that translates the English words read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoints import coco_objects, hub
from inference.checkpoints.manifest import sha256_again
from inference.common.types import EngineError, UnknownModel
from inference.presets.catalogue import CATALOGUE

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
SCALES = "::scale"  # ends the name of a tensor of WEIGHTS_FILE that holds one factor a row of an int8 tensor
HUB = hub.PREFIX
OBJECTS = coco_objects.NAME
_OBJECTS_ARE = "Names the things a detector finds, in Russian, with the frames and the words read; untrained."
_OBJECTS_ARE_RU = "Называет предметы, которые находит детектор, кадры и прочитанные слова; без обучения."

_LONGEST_NAME = 240  # bytes: file systems end at 255, and a hub model's folder has "models--" before it
_REPEATED = 128  # characters of a name that is none
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model a person can choose."""

    name: str
    checkpoint: str  # see checkpoint_hash
    description: str  # the first paragraph of the model card, on one line; "" without a card
    parameters: int  # numbers in all tensors of the weights; 0 where only loading them would tell
    description_ru: str = ""  # the line `description_ru:` of the card's front matter; "" without one


def list_models(models_dir: Path) -> list[ModelInfo]:
    """All models of the folder, by name, and ``coco-objects`` where its weights are.

    A damaged one is left out with a warning in the log.
    """
    folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
    names = [
        folder.name
        for folder in folders
        if (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()
    ]
    models = []
    for name in (*names, OBJECTS):
        try:
            models.append(model_info(models_dir, name))
        except UnknownModel:
            continue
        except EngineError as error:
            logger.warning("%s", error)
    return models


def model_info(models_dir: Path, name: str) -> ModelInfo:
    """The named model. Raises UnknownModel, or EngineError when its weights are damaged."""
    checkpoint = checkpoint_hash(models_dir, name)
    plain = hub.plain_name(name)
    if plain.startswith(HUB):
        return ModelInfo(name, checkpoint, "", 0)
    if plain == OBJECTS:
        return ModelInfo(name, checkpoint, _OBJECTS_ARE, 0, _OBJECTS_ARE_RU)
    folder = find_model(models_dir, plain)
    description, description_ru = _descriptions(folder / CARD_FILE)
    return ModelInfo(name, checkpoint, description, _count_parameters(folder / WEIGHTS_FILE), description_ru)


def _refuse_odd(name: str) -> None:
    """Raises UnknownModel for what is no name of a folder: it may come from a chat, or over a network."""
    if not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise UnknownModel(
            f"There is no model named {shorter(name)!r}: a name has at most {_LONGEST_NAME} bytes, "
            "and nothing in it that cannot be seen."
        )


def shorter(name: str) -> str:
    """The beginning of a name that is to be repeated."""
    return name if len(name) <= _REPEATED else f"{name[:_REPEATED]}…"


def find_model(models_dir: Path, name: str) -> Path:
    """The folder of the named checkpoint. Raises UnknownModel with the names there are."""
    _refuse_odd(name)
    folder = models_dir / name
    # The name may come from a chat: it must be the name of a folder here, not a way to another one.
    is_plain = name not in {"", ".", ".."} and Path(name).name == name
    if is_plain and (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
        return folder
    if is_plain and _lost_its_weights(folder):
        raise UnknownModel(
            f"The model {name!r} has no weights: {folder / WEIGHTS_FILE} is missing, get the checkpoint anew."
        )
    names = [path.parent.name for path in sorted(models_dir.glob(f"*/{WEIGHTS_FILE}"))]
    if name in CATALOGUE:
        others = f", or choose one of {', '.join(names)}" if names else ""
        raise UnknownModel(
            f"The preset {name!r} has no weights in {models_dir} yet: train it ('python -m train_scripts "
            "train'), convert the original's ('python -m inference convert') or fetch some ('python -m "
            f"inference pull'){others}."
        )
    choice = f"choose one of {', '.join(names)}" if names else "put a checkpoint there first"
    raise UnknownModel(f"There is no model named {name!r} in {models_dir}: {choice}.")


def _lost_its_weights(folder: Path) -> bool:
    """Whether it is a checkpoint of ours but for the weights: others' folders have configs of other words."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "architecture" in config and not any(folder.glob("*.safetensors"))


def checkpoint_hash(models_dir: Path, name: str) -> str:
    """What the named model's captions depend on: sha256 of its weights, 64 hexadecimal digits, or of that and
    the translation model's commit; of a hub model the commit of its files, 40 digits, see
    :func:`inference.checkpoints.hub.checkpoint`.

    The first call for a file reads all of it; later ones only look whether it is still the same.
    Raises UnknownModel, or EngineError when the file cannot be read.
    """
    _refuse_odd(name)
    if name.startswith(HUB):
        return hub.checkpoint(name, models_dir)
    plain, translation = hub.without_translation(name)
    if plain == OBJECTS:
        weights = coco_objects.weights(models_dir)
    else:
        weights = find_model(models_dir, plain) / WEIGHTS_FILE
    try:
        own = sha256_again(weights)
    except OSError as error:
        raise EngineError(f"{weights} cannot be read ({error.strerror}): check its permissions.") from error
    if translation is None:
        return own
    commit = hub.find_snapshot(translation, models_dir).name
    return hashlib.sha256(f"{own} {commit}".encode()).hexdigest()


def _count_parameters(weights: Path) -> int:
    """From the header of the safetensors file: a 64-bit length, then JSON with every tensor's shape."""
    try:
        with weights.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        return sum(
            math.prod(tensor["shape"])
            for name, tensor in header.items()
            if name != "__metadata__" and not name.endswith(SCALES)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise EngineError(f"{weights} is not a safetensors file, or a damaged one: get it anew.") from error


def _descriptions(card: Path) -> tuple[str, str]:
    """The first paragraph of a model card, and its `description_ru`; "" for what is missing."""
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return "", ""
    russian = ""
    if lines and lines[0].strip() == "---":  # the card's YAML front matter
        end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
        told = (line.partition(":") for line in lines[:end])
        russian = next((text.strip().strip("\"'") for key, _, text in told if key == "description_ru"), "")
        lines = lines[end + 1 :]
    paragraph: list[str] = []
    for line in lines:
        text = line.strip()
        if text and not text.startswith(("#", "!", "<", "|", "```")):
            paragraph.append(text)
        elif paragraph:
            break
    return " ".join(paragraph), russian
