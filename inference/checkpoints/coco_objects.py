"""What is known of ``coco-objects`` without torch: its weight file, and what it says of itself."""

from __future__ import annotations

import os
from pathlib import Path

from inference.checkpoints.card import Card
from inference.checkpoints.names import CocoObjects
from inference.common.interpreter import PYTHON
from inference.common.types import UnknownModel

WEIGHTS = "COCO_V1"  # of torchvision's fasterrcnn_resnet50_fpn
PULLED = "fasterrcnn_fpn"  # what `pull` calls them
FILE = "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"
COMMAND = f"{PYTHON} -m inference pull {PULLED}"
CARD = Card(
    "Names the things a detector finds, in Russian, with the frames and the words read; untrained.",
    "Называет предметы, которые находит детектор, кадры и прочитанные слова; без обучения.",
)


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
        f"The weights of {CocoObjects.name} ({FILE}) are not in {models_dir}: fetch them with '{COMMAND}'."
    )
