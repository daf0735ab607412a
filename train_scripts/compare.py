"""`python -m train_scripts compare`: which of two systems is better on the same pictures, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from inference.common.errors import UserError
from inference.common.file_names import picture_of, renamed
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
    system_names,
    write_json,
    write_rows,
    write_text,
)
from train_scripts.metrics.comparison import Comparison, compare
from train_scripts.metrics.evaluator import check
from train_scripts.metrics.tables import comparison_sheet, examples_sheet
from train_scripts.sheets import Section, SheetRow, table_section, write_page
from train_scripts.terminal import console, one_sentence

__all__ = ["compare_command"]


def compare_command(
    a: Annotated[Path, typer.Argument(help="Predictions of the first system, JSON lines or a CSV.")],
    b: Annotated[Path, typer.Argument(help="Predictions of the second system, likewise.")],
    *,
    references: Annotated[
        Path, typer.Option(help="JSON lines or a CSV with file_name and text, or an imagefolder.")
    ],
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the scores here as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write both tables here as Markdown.")] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Write every picture with both captions here (.jsonl, .csv, .tsv).")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page here: the pictures where they differ most, with all texts."),
    ] = None,
    sheet_pictures: Annotated[int, typer.Option(min=1, help="Pictures on that page of either side.")] = 25,
    by: Annotated[str, typer.Option(help="The score that tells where they differ.")] = "meteor",
    show: Annotated[int, typer.Option(min=0, help="Pictures to show of either side's best.")] = 3,
    split: Split = None,
    clip: Clip = None,
    pictures: Pictures = None,
    models_dir: RuClips = Path("checkpoints"),
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the paired bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Test two systems on the same pictures (paired bootstrap) and show where they differ."""
    with one_sentence():
        check_rows(rows)
        check_outputs(json_path, markdown, rows, sheet)
        known_measure(by)
        wanted = read_references(references, split=split)
        captions_a, captions_b = (
            renamed(read_captions(one, refused_as_empty=True), wanted) for one in (a, b)
        )
        for captions in (captions_a, captions_b):
            check(captions, wanted)  # before anything slow
        folder = picture_folder(pictures, references)
        extra_a, extra_b = clip_scores([captions_a, captions_b], folder, clip, models_dir)
        comparison = compare(
            captions_a,
            captions_b,
            wanted,
            resamples=resamples,
            seed=seed,
            extra_a=extra_a,
            extra_b=extra_b,
        )
        if by not in comparison.differences:
            raise UserError(f"There is no {by} to tell them apart by: give the ruCLIP with --clip.")
        names = system_names(a, b)
        scores = comparison_sheet(comparison, *names)
        examples = examples_sheet(comparison, by, *names, show)
        if json_path is not None:
            write_json(json_path, comparison.to_dict())
        if markdown is not None:
            write_text(markdown, f"{scores.to_markdown()}\n{examples.to_markdown()}")
        if sheet is not None:
            write_page(
                sheet,
                f"{names[1]} against {names[0]}",
                [table_section(scores), *_differences(comparison, by, names, folder, sheet_pictures)],
            )
        if rows is not None:
            write_rows(rows, comparison.rows(by))
    screen = console()
    if examples.rows:
        screen.print(examples.to_rich())
    screen.print(scores.to_rich())


def _differences(
    comparison: Comparison, by: str, names: tuple[str, str], folder: Path, count: int
) -> Iterator[Section]:
    """The pictures where B gains most over A, then those where it loses most, the largest first."""
    chosen = comparison.differences[by].measure
    rows = [row for row in comparison.rows(by) if row["gain"]]
    best = [row for row in rows if row["gain"] > 0][:count]
    worst = [row for row in reversed(rows) if row["gain"] < 0][:count]
    for name, shown in ((names[1], best), (names[0], worst)):
        yield Section(
            f"{name} is better, by {chosen.title}",
            () if shown else ("On no picture.",),
            pictures=[
                SheetRow(
                    row["file_name"],
                    picture_of(folder, row["file_name"]),
                    {"Reference": row["reference"], names[0]: row["a"], names[1]: row["b"]},
                    f"{chosen.title}: {chosen.show(row[f'{by}_a'])} → {chosen.show(row[f'{by}_b'])}",
                    marks_of="Reference",
                )
                for row in shown
            ],
        )
