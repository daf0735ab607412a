"""A captioner for the end-to-end tests: it costs nothing and says what every reader can check.

Named to the bot as ``CAPTIONER=tests.e2e.fakes:load``. From the environment: E2E_LOG (a file that gets a JSON
line for every picture begun: process id and size) and E2E_GATE (while this file exists, pictures wait).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from inference.common.types import Caption, DecodingOptions

SUMMARY = "Рыжий кот у окна"
TEXT = (
    "Мем с белой плашкой сверху и рисунком под ней. На рисунке рыжий кот с большими зелёными глазами "
    "сидит у окна, за которым голубое небо, облака и солнце."
)
WORDS = ("КОГДА СКАЗАЛ, ЧТО ЛЯЖЕШЬ СПАТЬ ПОРАНЬШЕ", '<b>5 < 7</b> & "кавычки"')


class EchoCaptioner:
    """The same description for every picture, with its size, so that a turned picture is noticed."""

    def __init__(self, name: str, models_dir: Path) -> None:
        self.name = name
        self.checkpoint = hashlib.sha256((models_dir / name / "model.safetensors").read_bytes()).hexdigest()

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        for image in images:
            with Path(os.environ["E2E_LOG"]).open("a") as log:
                log.write(json.dumps({"pid": os.getpid(), "size": image.size}) + "\n")
            while Path(os.environ["E2E_GATE"]).exists():
                time.sleep(0.01)
        return [
            Caption(
                summary=SUMMARY,
                text=f"{TEXT} Размер {image.width} на {image.height}.",
                words=WORDS,
                model=self.name,
                checkpoint=self.checkpoint,
                options=options or DecodingOptions(),
                seconds={"read": 0.0, "encode": 0.0, "generate": 0.0},
                confidence=0.9,
                notes=(),
            )
            for image in images
        ]


def load(name: str, models_dir: Path, *, threads: int | None = None) -> EchoCaptioner:
    """What the worker calls."""
    return EchoCaptioner(name, models_dir)
