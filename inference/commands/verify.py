"""``python -m inference verify``: prove a checkpoint whole."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.file_names import shown
from inference.common.types import EngineError


def verify(
    target: Annotated[str, typer.Argument(help="A model's name, a checkpoint's folder, or a weight file.")],
    models_dir: ModelsDir = DEFAULTS.models_dir,
) -> None:
    """Prove a checkpoint whole: its hash, every tensor, its tokenizer, and that it describes a drawn picture.

    Exit status 0 and one sentence that says what was proved, or 1 and one that says what is wrong.
    """
    from inference.captioners.verify import verify as prove  # noqa: PLC0415 - torch, only now

    logging.basicConfig(level=logging.CRITICAL)
    try:
        typer.echo(prove(target, models_dir))
    except EngineError as error:
        typer.echo(shown(" ".join(str(error).split())), err=True)
        raise typer.Exit(1) from error
