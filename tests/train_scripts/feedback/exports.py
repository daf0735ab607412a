"""Exports by hand, for what people said that would take long to say through the bot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.drawing import draw_meme, jpeg_bytes

NOW = datetime.now(UTC).isoformat(timespec="seconds")
CAPTION = "Подпись: «кот»."


def row(file_name: str | None = "images/0.jpg", **values: Any) -> dict[str, Any]:
    """A row of an export: a caption that nobody marked or corrected, but for ``values``."""
    correction = values.pop("correction", None)
    caption = values.pop("caption", CAPTION)
    return {
        "file_name": file_name,
        "text": correction or caption,
        "rating": None,
        "model": "meme-small",
        "checkpoint": "c" * 64,
        "options": {"strategy": "beam"},
        "words": [],
        "user": "a" * 16,
        "created_at": NOW,
        "rated_at": NOW if values.get("rating") else None,
        "corrected_at": NOW if correction else None,
        "corrected": correction is not None,
        "caption": caption,
        "picture": (file_name or "none").ljust(16, "0")[-16:],
        **values,
    }


def write(folder: Path, rows: Sequence[dict[str, Any]], *, made_at: str = NOW, width: int = 200) -> Path:
    """An imagefolder export with a drawn picture for every file name."""
    (folder / "images").mkdir(parents=True)
    for name in {row["file_name"] for row in rows if row["file_name"]}:
        words = f"КАРТИНКА {Path(name).stem}"
        (folder / name).write_bytes(jpeg_bytes(draw_meme("caption_bar", words, width=width)))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "export.json").write_text(json.dumps({"made_at": made_at}))
    (folder / "erased.jsonl").write_text(json.dumps({"made_at": made_at}) + "\n")
    return folder
