"""What the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.serving.engine import EngineSettings

DEFAULTS = EngineSettings()

ModelsDir = Annotated[
    Path, typer.Option("--models-dir", envvar="MODELS_DIR", help="The folder with the checkpoints.")
]
