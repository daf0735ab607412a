"""What the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.serving.engine import EngineSettings

DEFAULTS = EngineSettings()

ModelsDir = Annotated[
    Path,
    typer.Option(
        "--models-dir", envvar="MODELS_DIR", file_okay=False, help="The folder with the checkpoints."
    ),
]
BatchSize = Annotated[
    int, typer.Option(envvar="BATCH_SIZE", min=1, help="Pictures that go through the model together.")
]
Threads = Annotated[
    int | None,
    typer.Option(envvar="INFERENCE_THREADS", min=1, help="Of the processor; else all it may use."),
]
PictureSeconds = Annotated[
    float, typer.Option(envvar="PICTURE_TIMEOUT", min=0.1, help="Seconds a picture may take.")
]
CaptionerName = Annotated[str, typer.Option(envvar="CAPTIONER", hidden=True)]
