"""A data set of the eight drawn pictures, and a config that learns it in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.inference.learning import CAPTIONS, pictures

SMALL_ENCODER = {"kind": "resnet34", "preprocessing": {"size": 64}}
SMALL_DECODER = {"picture": 512, "embedding": 32, "hidden": 64, "dropout": 0.0, "train_embedding": True}


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


def drawn_data(folder: Path) -> list[dict[str, Any]]:
    """Eight rows of train; two of the pictures are val as well. Returns the rows."""
    (folder / "images").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for number, (caption, picture) in enumerate(zip(CAPTIONS, pictures(), strict=True)):
        name = f"images/{number}.png"
        picture.save(folder / name)
        rows.append({"file_name": name, "text": caption, "split": "train"})
    rows += [{**rows[number], "split": "val"} for number in (0, 6)]
    write_rows(folder, rows)
    return rows


def small_config(folder: Path, **changes: Any) -> Path:
    """A config file beside the data; `changes` of its keys, those of the one stage under ``stage``."""
    stage = {
        "data": ["drawn"],
        "epochs": 6,
        "batch": 4,
        "optimizer": {"rate": 0.003},
        "clip": 5,
        **changes.pop("stage", {}),
    }
    config = {
        "preset": "resnet101-lstm-navec",
        "encoder": {"weights": "random", "settings": SMALL_ENCODER},
        "decoder": SMALL_DECODER,
        "vectors": "random",
        "vocabulary": {"threshold": 1},
        "sources": {"drawn": str(folder)},
        "cache": str(folder.parent / "features"),
        "stages": {"drawn": stage},
        **changes,
    }
    path = folder.parent / "small.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return path
