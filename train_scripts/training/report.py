"""What came of a run: Markdown, and one HTML page with scores and pictures. TensorBoard has the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.common.file_names import ESCAPED, shown
from train_scripts.metrics.evaluator import TITLES
from train_scripts.metrics.evaluator import Report as Scores
from train_scripts.metrics.tables import report_sheet
from train_scripts.sheets import Section, SheetRow, table_section, write_page
from train_scripts.tables import Sheet
from train_scripts.training.config import TrainConfig
from train_scripts.training.state import CURVES

__all__ = ["Outcome", "write_report"]

_PRECISIONS = {"no": "32 bits", "bf16": "bf16 and 32 bits", "fp16": "fp16 and 32 bits"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`val`, `alone`, `train`: the scores on val, on val without the words read, and on some of the pictures
    that were learned from; None where there are none. `shown`: rows of the sheet, val first. Steps and epochs
    as the run recorded them."""

    config: TrainConfig
    steps: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    precision: str  # really computed in: "no" (32 bits), "bf16" or "fp16"
    parameters: tuple[int, int]
    val: Scores | None
    alone: Scores | None
    train: Scores | None
    shown: Sequence[SheetRow]


def write_report(folder: Path, outcome: Outcome) -> None:
    """Writes ``report.md`` and ``report.html``. Raises SheetError, or OSError, when the disk is full."""
    title = f"{outcome.config.system.name}: training"
    curves = (
        "The loss and the learning rate of every step, and the scores on val of every epoch, as curves: "
        f"python -m tensorboard.main --logdir {folder / CURVES}"
    )
    tables = [_summary(outcome), _epochs(outcome)]
    if outcome.val is not None:
        tables.append(report_sheet(outcome.val, "val"))
    if outcome.alone is not None:
        tables.append(report_sheet(outcome.alone, "val, told of no words"))
    if outcome.train is not None:
        tables.append(report_sheet(outcome.train, "Pictures it learned from"))
    notes = "".join(f"- {note}\n" for note in outcome.notes)
    pictures = "".join(
        f"### {shown(row.name)}\n\n{row.note}\n\n"
        + "".join(f"- {who}: {' '.join(text.split())}\n" for who, text in row.texts.items())
        + "\n"
        for row in outcome.shown
    )
    markdown = [f"# {title}\n", *(f"## {table.to_markdown()}" for table in tables)]
    markdown += [f"## To know\n\n{notes}"] if notes else []
    markdown += [f"## Curves\n\n{curves}\n"]
    markdown += [f"## Pictures\n\n{pictures}"] if pictures else []
    (folder / "report.md").write_text("\n".join(markdown), encoding="utf-8", errors=ESCAPED)
    sections = [table_section(tables[0])]
    sections += [Section("To know", outcome.notes)] if outcome.notes else []
    sections += [Section("Curves", (curves,)), *map(table_section, tables[1:])]
    sections += [Section("Pictures", pictures=outcome.shown)] if outcome.shown else []
    write_page(folder / "report.html", title, sections)


def _summary(outcome: Outcome) -> Sheet:
    trained, every = outcome.parameters
    seconds = sum(float(row.get("seconds", 0)) for row in outcome.epochs)
    rows = [
        ("Encoder weights", outcome.config.encoder.weights),
        ("Numbers trained, of all", f"{trained:,} of {every:,}"),
        ("Steps", f"{len(outcome.steps):,}"),
        ("Training, minutes", f"{seconds / 60:.1f}"),
        ("Seed", str(outcome.config.seed)),
        ("Precision", _PRECISIONS[outcome.precision]),
    ]
    for stage in outcome.stages:
        best = "" if stage["best"] is None else f", best {stage['metric']} {stage['best']:.4f}"
        early = ", stopped early" if stage["stopped_early"] else ""
        rows.append(
            (
                f"Stage {stage['stage']}",
                f"{stage['epochs']} epochs, kept epoch {stage['best_epoch']}{best}{early}",
            )
        )
    return Sheet("Summary", ("", ""), tuple(rows), text_columns=2)


def _epochs(outcome: Outcome) -> Sheet:
    metrics = _metrics(outcome)
    rows = []
    # Hundreds of rows say no more than the curve: of a long run every k-th is listed, and the last.
    every = max(1, math.ceil(len(outcome.epochs) / 60))
    for i, row in enumerate(outcome.epochs):
        if i % every == 0 or i == len(outcome.epochs) - 1:
            values = [f"{row[key]:.4f}" if key in row else "–" for key in ("loss", *metrics)]
            rows.append((str(row["stage"]), str(row["epoch"]), *values, f"{row['seconds']:.1f}"))
    return Sheet("Epochs", ("Stage", "Epoch", "Loss", *map(_title, metrics), "Seconds"), tuple(rows))


def _metrics(outcome: Outcome) -> list[str]:
    known = {"stage", "epoch", "step", "loss", "seconds", "seconds_features", "seconds_measuring"}
    return list(dict.fromkeys(key for row in outcome.epochs for key in row if key not in known))


def _title(key: str) -> str:
    return TITLES.get(key, key.replace("_", " "))
