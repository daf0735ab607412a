"""``python -m inference export``: a checkpoint's parts as graphs, which are served without PyTorch."""

from __future__ import annotations

from typing import Annotated

import typer

from inference.checkpoints.names import CheckpointFolder, ModelName
from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.errors import UserError
from inference.common.extras import WRITE_GRAPHS, require
from inference.common.file_names import shown


def export(
    name: Annotated[str, typer.Argument(help="A checkpoint in MODELS_DIR.")],
    *,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft",
            help="With a copy of the decoder in 8 bits that guesses ahead: the same captions in about half "
            "of the time, for more memory.",
        ),
    ] = False,
    models_dir: ModelsDir = DEFAULTS.models_dir,
) -> None:
    """Write a checkpoint's graphs, which serving prefers to PyTorch while the weights are the same.

    They are checked against PyTorch on drawn pictures first: same tokens, and logits within a thousandth.
    """
    try:
        require("models", "Exporting graphs", *WRITE_GRAPHS)
        from inference.captioners.encoder_decoder.graphs import exporting  # noqa: PLC0415 - torch, only now
        from inference.captioners.verify import drawn_picture  # noqa: PLC0415

        model = ModelName.parse(name).model
        if not isinstance(model, CheckpointFolder):
            raise UserError(f"{name} is no checkpoint of this program: only those have graphs.")
        written = exporting.export(model, models_dir, exporting.drawn(drawn_picture()), draft=draft)
    except UserError as error:
        typer.echo(shown(str(error)), err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"{name}: its graphs say the same tokens as PyTorch; logits differ by {written.difference:.0e} of "
        "the largest. A running worker takes them when it is started anew."
    )
