"""`python -m train_scripts evaluate`: every score of one file of predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from train_scripts.data.captions import read_captions
from train_scripts.metrics.command_line import (
    console,
    known_measure,
    one_sentence_errors,
    write_json,
    write_rows,
    write_text,
)
from train_scripts.metrics.evaluator import MEASURES, evaluate
from train_scripts.metrics.tables import report_sheet

__all__ = ["evaluate_command"]


def evaluate_command(
    predictions: Annotated[
        Path,
        typer.Argument(help="JSON lines with file_name and text, as `python -m inference caption` writes."),
    ],
    references: Annotated[
        Path,
        typer.Argument(help="JSON lines with file_name and text, or an imagefolder with metadata.jsonl."),
    ],
    *,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the scores here as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here as Markdown.")] = None,
    rows: Annotated[Path | None, typer.Option(help="Write each picture's scores here, JSON lines.")] = None,
    sort_by: Annotated[
        str | None,
        typer.Option(help="Sort --rows by this score, the worst picture first (for example meteor)."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=1, help="Resamples of the bootstrap behind the intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Score captions against references: n-grams, quoted words, faithfulness, repetition, with intervals.

    A row with `error` and no `text` (a picture that could not be read) counts as an empty caption.
    """
    with one_sentence_errors():
        if sort_by is not None:
            known_measure(sort_by)
        report = evaluate(
            read_captions(predictions, refused_as_empty=True),
            read_captions(references),
            resamples=resamples,
            seed=seed,
        )
        sheet = report_sheet(report, predictions.stem)
        if json_path is not None:
            write_json(json_path, report.to_dict())
        if markdown is not None:
            write_text(markdown, sheet.to_markdown())
        if rows is not None:
            per_picture = report.rows
            if sort_by is not None:
                sign = -1 if next(m for m in MEASURES if m.key == sort_by).better == "lower" else 1
                per_picture.sort(key=lambda row: math.inf if row[sort_by] is None else sign * row[sort_by])
            write_rows(rows, per_picture)
    console().print(sheet.to_rich())
