"""`python -m train_scripts language-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.common.errors import UserError
from train_scripts.data.dataset import read_split
from train_scripts.data.files import json_rows
from train_scripts.terminal import one_sentence

__all__ = ["language_model_command"]


def language_model_command(  # noqa: PLR0917 - the options of a command
    memes: Annotated[
        Path, typer.Argument(help="Folder with images/, train.jsonl and val.jsonl.", exists=True)
    ],
    photos: Annotated[Path, typer.Option(help="Photo captions (JSON lines with text).", exists=True)],
    readings: Annotated[Path, typer.Option(help="What 'read' wrote.", exists=True)] = Path(
        "runs/readings.jsonl"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was stopped goes on.")] = Path(
        "runs/gpt-small"
    ),
    held_out: Annotated[
        int, typer.Option(help="So many memes are left for the captioner's recipe to choose by.", min=0)
    ] = 0,
    photos_at_most: Annotated[int, typer.Option(help="Only the first so many photo captions; 0: all.")] = 0,
    meme_epochs: Annotated[int, typer.Option(help="Epochs of the memes' descriptions.", min=0)] = 10,
) -> None:
    """Train the small GPT-2 that clipcap-small speaks with, and its byte pairs."""
    from train_scripts.language_model.texts import meme_texts  # noqa: PLC0415
    from train_scripts.language_model.train import (  # noqa: PLC0415 - torch
        LanguageModelRecipe,
        train_language_model,
    )
    from train_scripts.process import set_up_process  # noqa: PLC0415

    set_up_process()
    with one_sentence():
        captions = [row["text"] for _, row in json_rows(photos) if isinstance(row.get("text"), str)]
        if not captions:
            raise UserError(f"{photos} holds no captions: it needs rows with a text.")
        rows = read_split(memes, "train")
        texts = meme_texts(rows, memes, readings, held_out=held_out)
        recipe = LanguageModelRecipe(photos=photos_at_most, meme_epochs=meme_epochs)
        train_language_model(out, captions, texts, [row.text for row in rows], recipe)
    typer.echo(f"The language model is {out / 'model'}.")
