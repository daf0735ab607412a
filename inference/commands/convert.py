"""``python -m inference convert``: other people's checkpoints, and those of former formats, into ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.checkpoints.config import FORMAT
from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.errors import UserError
from inference.common.extras import require
from inference.common.file_names import is_plain, shown
from inference.common.interpreter import PYTHON


def convert(  # noqa: PLR0917 - Typer passes everything by name
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Files or folders: a ClipCap .pt; encoder_epN.dth, decoder_epN.dth and the vocabulary; a "
            "soft attention decoder and its vocab.pkl; a ruCLIP folder; RuDOLPH, its VQGAN and bpe.model; "
            "the files and words of a ResNet-LSTM, a CaptionNet or (TensorFlow's) a Bahdanau captioner. Or a "
            "checkpoint of this program in a former format.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            help="The new model's name in MODELS_DIR, or a folder; a checkpoint of this program is rewritten "
            "in its place without it."
        ),
    ] = None,
    source_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, clipcap, meme-baseline, soft-attention, resnet-lstm, caption-net, bahdanau, rudolph "
            "or ruclip.",
        ),
    ] = "auto",
    vocabulary: Annotated[
        Path | None, typer.Option(help="The words of a recurrent captioner: .json, .txt or .pkl.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of a GPT-2 tokenizer (as pulled), or a bpe.model.")
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option(help="What the captioner sees through: a CLIP folder, or a weight file.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(help="Text whose token ends a sentence, if it is not the tokenizer's own.")
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="Attention heads of a language model of unusual shape.")
    ] = None,
    normalise: Annotated[
        bool | None, typer.Option(help="Picture vectors of length 1; not given: as is usual for the encoder.")
    ] = None,
    models_dir: ModelsDir = DEFAULTS.models_dir,
) -> None:
    """Convert a captioner that was trained elsewhere into a checkpoint for this program, or a checkpoint of
    this program's former format into that of today.

    Sizes are told by the files' shapes. No pickled code is ever run: a file that asks for it is refused.
    """
    from inference.importers.former import is_of_this_program, rewrite  # noqa: PLC0415 - numpy, only now

    folder = None if out is None else models_dir / out if is_plain(out) else Path(out)
    try:
        if len(sources) == 1 and is_of_this_program(sources[0]):
            rewrite(sources[0], folder)
            typer.echo(f"{folder or sources[0]}: in format {FORMAT}, with the same weights")
            return
        if folder is None:
            raise UserError("The new model needs a name: give it one with --out.")
        require("models", "The import of other people's weights")
        from inference.importers.convert import convert as run  # noqa: PLC0415 - torch, only now
        from inference.importers.family import Request  # noqa: PLC0415

        request = Request(
            tuple(sources), models_dir, source_format, vocabulary, tokenizer, encoder, end, heads, normalise
        )
        found = run(request, folder)
    except (FileNotFoundError, UserError, ValueError) as error:
        typer.echo(shown(" ".join(str(error).split())), err=True)
        raise typer.Exit(2) from error
    hint = f"; try '{PYTHON} -m inference caption PICTURE --model {folder.name}'" if found.captions else ""
    typer.echo(f"{folder}: converted from {found.name}{hint}")
