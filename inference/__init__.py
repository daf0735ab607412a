"""A picture in, a caption out. Knows nothing of Telegram.

    import inference
    model = inference.load("meme-small")
    print(model.caption_file("meme.jpg").text)

Importing this package imports nothing heavy: the bot does so too, and its process holds no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.serving.local import LocalModel

__all__ = ["load"]


def load(
    name: str = "meme-small", models_dir: str | Path = "checkpoints", *, threads: int | None = None
) -> LocalModel:
    """The model of that name, one of those that ``python -m inference models`` lists, in this process.

    ``models_dir``: the folder of the checkpoints. ``threads``: of the processor; None: all that it may use.
    Raises EngineError, whose message says what to do, where there is none of the name or it cannot be loaded.
    """
    from inference.serving import local  # noqa: PLC0415 - nothing that only imports the package pays for it

    return local.load(name, models_dir, threads=threads)
