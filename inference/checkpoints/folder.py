"""A checkpoint is a folder: ``config.json``, ``model.safetensors``, its tokenizer and a card.

What is known of it without torch; :mod:`.format` reads and writes it with torch.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

from inference.checkpoints.manifest import sha256_again
from inference.checkpoints.names import CheckpointFolder
from inference.common.file_names import is_plain
from inference.common.interpreter import PYTHON
from inference.common.types import EngineError, UnknownModel

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
RUCLIP_FILE = "ruclip.safetensors"  # of a folder that ranks captions and writes none, as `convert` writes it
SCALES = "::scale"  # ends the name of a tensor of WEIGHTS_FILE that holds one factor a row of an int8 tensor

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit


def is_checkpoint(folder: Path) -> bool:
    """Whether it has what every checkpoint has, sound or damaged."""
    return (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def find_checkpoint(models_dir: Path, model: CheckpointFolder) -> Path:
    """The folder of the named checkpoint. Raises UnknownModel with the names there are."""
    name, folder = model.name, models_dir / model.name
    # The name may come from a chat: it must be the name of a folder here, not a way to another one.
    if is_plain(name) and is_checkpoint(folder):
        return folder
    if is_plain(name) and _lost_its_weights(folder):
        raise UnknownModel(
            f"The model {name!r} has no weights: {folder / WEIGHTS_FILE} is missing, get the checkpoint anew."
        )
    from inference.presets import preset  # noqa: PLC0415 - slow, and only of use to whoever reads this

    folders = (path.parent for path in sorted(models_dir.glob(f"*/{WEIGHTS_FILE}")))
    names = [folder.name for folder in folders if is_checkpoint(folder)]
    if name in preset.names():
        others = f", or choose one of {', '.join(names)}" if names else ""
        raise UnknownModel(
            f"The preset {name!r} has no weights in {models_dir} yet: make them with "
            f"'{preset.preset(name).command}', convert those of the original ('{PYTHON} -m inference "
            f"convert'){others}."
        )
    elsewhere = "put a checkpoint there first, or set MODELS_DIR to the folder that holds one"
    choice = f"choose one of {', '.join(names)}" if names else elsewhere
    raise UnknownModel(f"There is no model named {name!r} in {models_dir}: {choice}.")


def weights_hash(weights: Path) -> str:
    """sha256 of a weight file, 64 hexadecimal digits; one that is unchanged since is not read again.

    Raises EngineError when it cannot be read.
    """
    try:
        return sha256_again(weights)
    except OSError as error:
        raise EngineError(f"{weights} cannot be read ({error.strerror}): check its permissions.") from error


def count_parameters(folder: Path) -> int:
    """Numbers in all tensors of the checkpoint's weights, told by the file's header: a 64-bit length, then
    JSON with every tensor's shape.

    Raises EngineError when the file is damaged.
    """
    weights = folder / WEIGHTS_FILE
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


def _lost_its_weights(folder: Path) -> bool:
    """Whether it is a checkpoint of ours but for the weights: others' folders have configs of other words."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "architecture" in config and not any(folder.glob("*.safetensors"))
