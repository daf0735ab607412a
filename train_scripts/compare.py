"""`python -m train_scripts compare`: which of two systems is better on the same pictures, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from train_scripts.data.captions import read_captions
from train_scripts.metrics.command_line import (
    console,
    known_measure,
    one_sentence_errors,
    system_names,
    write_json,
    write_rows,
    write_text,
)
from train_scripts.metrics.comparison import compare
from train_scripts.metrics.tables import comparison_sheet, examples_sheet

__all__ = ["compare_command"]


def compare_command(
    a: Annotated[Path, typer.Argument(help="Predictions of the first system, JSON lines.")],
    b: Annotated[Path, typer.Argument(help="Predictions of the second system, JSON lines.")],
    *,
    references: Annotated[Path, typer.Option(help="JSON lines with file_name and text, or an imagefolder.")],
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the scores here as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write both tables here as Markdown.")] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Write every picture with both captions here, JSON lines.")
    ] = None,
    by: Annotated[str, typer.Option(help="The score that tells where they differ.")] = "meteor",
    show: Annotated[int, typer.Option(min=0, help="Pictures to show of either side's best.")] = 3,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the paired bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Test two systems on the same pictures (paired bootstrap) and show where they differ."""
    with one_sentence_errors():
        known_measure(by)
        comparison = compare(
            read_captions(a, refused_as_empty=True),
            read_captions(b, refused_as_empty=True),
            read_captions(references),
            resamples=resamples,
            seed=seed,
        )
        names = system_names(a, b)
        scores = comparison_sheet(comparison, *names)
        examples = examples_sheet(comparison, by, *names, show)
        if json_path is not None:
            write_json(json_path, comparison.to_dict())
        if markdown is not None:
            write_text(markdown, f"{scores.to_markdown()}\n{examples.to_markdown()}")
        if rows is not None:
            write_rows(rows, comparison.rows(by))
    screen = console()
    if examples.rows:
        screen.print(examples.to_rich())
    screen.print(scores.to_rich())
