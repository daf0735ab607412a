"""The command that trains the recogniser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from inference.reading.ocr import WEIGHTS_FILE
from train_scripts.terminal import one_sentence


def recognizer_command(  # noqa: PLR0917 - the options of a command
    memes: Annotated[Path, typer.Argument(help="Folder with images/ and train.jsonl.", exists=True)],
    pretrained: Annotated[
        Path,
        typer.Option(
            help="Folder models/ of the PyPI package rapidocr (PP-OCRv6 small), or a file that this command "
            "wrote, such as the one that ships: training goes on from there.",
            exists=True,
        ),
    ],
    photos: Annotated[Path, typer.Option(help="Photo captions (JSON lines with text).", exists=True)],
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Folder of fonts; may be given several times.", exists=True)
    ] = None,
    lines: Annotated[
        int, typer.Option(min=1, help="Rendered lines, then a half of that with real ones.")
    ] = 20_000,
    out: Annotated[
        Path, typer.Option(help="The weights.", show_default="the file that ships")
    ] = WEIGHTS_FILE,
) -> None:
    """Train the recogniser of Cyrillic and Latin lines: first on rendered ones, then on real ones too."""
    from train_scripts.reader.recipe import train_recognizer  # noqa: PLC0415 - torch

    with one_sentence():
        told = train_recognizer(
            memes, pretrained, photos, fonts or [Path("/usr/share/fonts")], lines=lines, out=out
        )
    Console().print(told)
