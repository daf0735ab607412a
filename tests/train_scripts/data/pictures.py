"""Pictures that differ, drawn for the tests of data sets."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tests.drawing import jpeg_bytes


def drawn(seed: int, side: int = 96) -> Image.Image:
    """A picture like no other seed's."""
    rng = random.Random(seed)
    image = Image.new("RGB", (side, side), (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, size = rng.randrange(side), rng.randrange(side), rng.randrange(8, side // 2)
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    return image


def save(path: Path, seed: int) -> Path:
    """A picture file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg_bytes(drawn(seed)))
    return path


def write_rows(path: Path, rows: list[Any]) -> Path:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
