"""``coco-objects``: a captioner that needs no training. A detector names the things on the picture; rules
make Russian sentences of them, of the frames and of the words read.

This module does without torch until :func:`load` is called.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from inference.types import DecodingOptions, EngineError, UnknownModel

if TYPE_CHECKING:
    from inference.captioner import Captioner

NAME = "coco-objects"
WEIGHTS = "COCO_V1"  # of torchvision's fasterrcnn_resnet50_fpn
PULLED = "fasterrcnn_fpn"  # what `pull` calls them
FILE = "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"

# Nothing is searched for among tokens here; something must stand in a caption all the same.
OPTIONS = DecodingOptions(strategy="greedy")


def places(models_dir: Path) -> tuple[Path, ...]:
    """Where the detector's weights may lie, first place first: MODELS_DIR, then torchvision's own cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    hub = Path(os.environ.get("TORCH_HOME", cache)).expanduser() / "hub" / "checkpoints"
    return (models_dir / PULLED / FILE, models_dir / FILE, hub / FILE)


def weights(models_dir: Path) -> Path:
    """The detector's weight file. Raises UnknownModel with the command that fetches it."""
    for path in places(models_dir):
        if path.is_file():
            return path
    raise UnknownModel(
        f"The weights of {NAME} ({FILE}) are not in {models_dir}: fetch them with "
        f"'python -m inference pull {PULLED}'."
    )


def checkpoint(models_dir: Path) -> str:
    """sha256 of the weight file, 64 hexadecimal digits. Raises UnknownModel, or EngineError."""
    path = weights(models_dir)
    try:
        status = path.stat()
        return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error


@lru_cache(maxsize=4)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - they make the cache's key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(name: str, models_dir: Path, *, threads: int | None = None) -> Captioner:
    """The captioner. ``threads``: of torch; None leaves its own choice.

    Raises UnknownModel when the weights are missing, EngineError when they are damaged or of another model.
    """
    import torch  # noqa: PLC0415

    from inference.captioner import Captioner  # noqa: PLC0415
    from inference.detector import ObjectDescriber, load_detector  # noqa: PLC0415
    from inference.reading.reader import Reader  # noqa: PLC0415

    if threads is not None:
        torch.set_num_threads(threads)
    describer = ObjectDescriber(load_detector(weights(models_dir)))
    return Captioner(name, checkpoint(models_dir), describer, Reader(), OPTIONS)
