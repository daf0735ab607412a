"""`python -m train_scripts evaluate`: every score of one file of predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from inference.common.errors import UserError
from inference.common.file_names import renamed
from train_scripts.data.captions import read_captions, read_references
from train_scripts.metrics.command_line import (
    Clip,
    Pictures,
    RuClips,
    Split,
    check_outputs,
    check_rows,
    clip_scores,
    known_measure,
    picture_folder,
    write_json,
    write_rows,
    write_text,
)
from train_scripts.metrics.evaluator import check, evaluate
from train_scripts.metrics.tables import report_sheet
from train_scripts.terminal import console, one_sentence

__all__ = ["evaluate_command"]


def evaluate_command(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="JSON lines or a CSV with file_name and text, as `python -m inference caption` writes."
        ),
    ],
    references: Annotated[
        Path,
        typer.Argument(
            help="JSON lines or a CSV with file_name and text, or an imagefolder. Several "
            "rows a picture are several references."
        ),
    ],
    *,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the scores here as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here as Markdown.")] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Write each picture's scores here (.jsonl, .csv, .tsv).")
    ] = None,
    sort_by: Annotated[
        str | None,
        typer.Option(help="Sort --rows by this score, the worst picture first (for example meteor)."),
    ] = None,
    split: Split = None,
    clip: Clip = None,
    pictures: Pictures = None,
    models_dir: RuClips = Path("checkpoints"),
    resamples: Annotated[
        int, typer.Option(min=1, help="Resamples of the bootstrap behind the intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Score captions against references: n-grams, quoted words, faithfulness, repetition, with intervals; and
    against the pictures (CLIPScore) where there is a ruCLIP.

    A row with `error` and no `text` (a picture that could not be read) counts as an empty caption.
    """
    with one_sentence():
        check_rows(rows)
        check_outputs(json_path, markdown, rows)
        if sort_by is not None:
            known_measure(sort_by)
        wanted = read_references(references, split=split)
        captions = renamed(read_captions(predictions, refused_as_empty=True), wanted)
        check(captions, wanted)  # before anything slow
        folder = picture_folder(pictures, references)
        (extra,) = clip_scores([captions], folder, clip, models_dir)
        report = evaluate(captions, wanted, resamples=resamples, seed=seed, extra=extra)
        measures = {m.key: m for m in report.measurements.counts}
        if sort_by is not None and sort_by not in measures:
            raise UserError(f"There is no {sort_by} to sort by: give the ruCLIP with --clip.")
        sheet = report_sheet(report, predictions.stem)
        if json_path is not None:
            write_json(json_path, report.to_dict())
        if markdown is not None:
            write_text(markdown, sheet.to_markdown())
        if rows is not None:
            per_picture = report.rows
            if sort_by is not None:
                sign = -1 if measures[sort_by].better == "lower" else 1
                per_picture.sort(key=lambda row: math.inf if row[sort_by] is None else sign * row[sort_by])
            write_rows(rows, per_picture)
    console().print(sheet.to_rich())
