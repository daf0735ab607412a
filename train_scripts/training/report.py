"""What came of a run: Markdown, and one HTML page with curves, scores and pictures in it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.common.file_names import ESCAPED, shown
from train_scripts.metrics.evaluator import MEASURES
from train_scripts.metrics.evaluator import Report as Scores
from train_scripts.metrics.tables import report_sheet
from train_scripts.sheets import SheetRow, pictures_html, table_html, write_page
from train_scripts.tables import Sheet
from train_scripts.training.config import TrainConfig

__all__ = ["Outcome", "curve", "write_report"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 260, 64, 34, 12, 12
_POINTS = 400  # of a curve: more than that is drawn on the same pixels
_PRECISIONS = {"no": "32 bits", "bf16": "bf16 and 32 bits", "fp16": "fp16 and 32 bits"}
_COLOURS = ("#2f6fde", "#d9480f", "#2b8a3e", "#9c36b5")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`val`, `train`: the scores on val, and on some of the pictures that were learned from; None where there
    are none. `shown`: rows of the sheet, val first. Steps and epochs as the run recorded them."""

    config: TrainConfig
    steps: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    precision: str  # really computed in: "no" (32 bits), "bf16" or "fp16"
    parameters: tuple[int, int]
    val: Scores | None
    train: Scores | None
    shown: Sequence[SheetRow]


def write_report(folder: Path, outcome: Outcome) -> None:
    """Writes ``report.md`` and ``report.html``. Raises SheetError, or OSError, when the disk is full."""
    title = f"{outcome.config.preset}: training"
    tables = [_summary(outcome), _epochs(outcome)]
    if outcome.val is not None:
        tables.append(report_sheet(outcome.val, "val"))
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
    markdown += [f"## Pictures\n\n{pictures}"] if pictures else []
    (folder / "report.md").write_text("\n".join(markdown), encoding="utf-8", errors=ESCAPED)
    parts = [table_html(tables[0])]
    if outcome.notes:
        parts.append("<h2>To know</h2>" + "".join(f"<p>{html.escape(note)}</p>" for note in outcome.notes))
    parts += _curves(outcome)
    parts += [table_html(table) for table in tables[1:]]
    if outcome.shown:
        parts += ["<h2>Pictures</h2>", pictures_html(outcome.shown)]
    write_page(folder / "report.html", title, parts)


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
    return next((measure.title for measure in MEASURES if measure.key == key), key.replace("_", " "))


def _curves(outcome: Outcome) -> list[str]:
    steps = [(float(row["step"]), float(row["loss"])) for row in outcome.steps]
    losses = {"training": _smooth(steps)}
    val = [(float(row["step"]), float(row["val_loss"])) for row in outcome.epochs if "val_loss" in row]
    if val:
        losses["val"] = val
    parts = ["<h2>Loss a token</h2>", curve(losses, "loss")]
    for key in _metrics(outcome):
        if key != "val_loss":
            points = [(float(row["step"]), float(row[key])) for row in outcome.epochs if key in row]
            parts += [f"<h2>{html.escape(_title(key))} on val</h2>", curve({"val": points}, _title(key))]
    rates = [(float(row["step"]), float(row["rate"])) for row in outcome.steps]
    return [*parts, "<h2>Learning rate</h2>", curve({"rate": _thinned(rates)}, "learning rate")]


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbours, so that what is drawn is the course and not the noise."""
    size = max(1, math.ceil(len(points) / _POINTS))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [*points[:: max(1, math.ceil(len(points) / _POINTS))], *points[-1:]]


def curve(lines: Mapping[str, Sequence[tuple[float, float]]], name: str) -> str:
    """An inline SVG of some lines over the steps of the optimizer; `name`: of what is drawn."""
    points = [point for line in lines.values() for point in line if all(map(math.isfinite, point))]
    if not points:
        return "<p>Nothing was recorded.</p>"
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    ticks = _ticks(min(y for _, y in points), max(y for _, y in points))
    low, high = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / (right - left) if right > left else 0.5
        up = (y - low) / (high - low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _TOP + (1 - up) * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = []
    for tick in ticks:
        y = place(left, tick)[1]
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity=".15"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for x, anchor in ((left, "start"), (right, "end")):
        parts.append(
            f'<text x="{place(x, low)[0]:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{x:g}</text>'
        )
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 10}" text-anchor="middle">steps</text>')
    for i, (label, line) in enumerate(lines.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        drawn = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line if math.isfinite(y))
        if len(line) == 1:
            x, y = place(*line[0])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(lines) > 1:
            parts.append(
                f'<text x="{_WIDTH - _RIGHT - 8}" y="{_TOP + 16 + 18 * i}" text-anchor="end" '
                f'fill="{colour}">{html.escape(label)}</text>'
            )
    said = "; ".join(
        f"{label} from {line[0][1]:.4g} to {line[-1][1]:.4g}" for label, line in lines.items() if line
    )
    label = html.escape(f"{name}: {said}")
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-size="12" fill="currentColor">{"".join(parts)}</svg>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers around low .. high, about five."""
    if high <= low:
        low, high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 12) for i in range(first, last + 1)]
