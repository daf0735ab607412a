"""The command that writes the graphs which serving runs without PyTorch; they lie in the program itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from train_scripts.terminal import one_sentence


def graphs_command(
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; not given: over those that ship.")
    ] = None,
) -> None:
    """Write the reader's networks and the encoder of the shipped model as graphs without weights: needed when
    their architecture has changed."""
    from inference.captioners.meme_small.sight import GRAPH_FILE  # noqa: PLC0415
    from inference.reading.ocr import DETECTOR_GRAPH, RECOGNIZER_GRAPH  # noqa: PLC0415
    from train_scripts.files import replacing  # noqa: PLC0415
    from train_scripts.meme_small.graph import encoder_graph  # noqa: PLC0415 - torch
    from train_scripts.reader.graphs import detector_graph, recognizer_graph  # noqa: PLC0415

    graphs = {GRAPH_FILE: encoder_graph, DETECTOR_GRAPH: detector_graph, RECOGNIZER_GRAPH: recognizer_graph}
    with one_sentence():
        for file, make in graphs.items():
            place = file if out is None else out / file.name
            with replacing(place) as part:
                part.write_bytes(make())
            Console().print(f"Written to {place}.")
