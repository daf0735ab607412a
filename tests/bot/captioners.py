"""Captioners for worker processes, named to them as ``tests.bot.captioners:...``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from inference.common.types import Caption, DecodingOptions
from tests.inference.fakes import FakeCaptioner


class TalkativeCaptioner(FakeCaptioner):
    """Says more than one message of Telegram holds, in characters that HTML must escape."""

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        return [replace(caption, text="<мем>& " * 1200) for caption in super().caption(images, options)]


def load_talkative(name: str, models_dir: Path, *, threads: int | None = None) -> TalkativeCaptioner:
    """The one above."""
    return TalkativeCaptioner(name, models_dir, threads)
