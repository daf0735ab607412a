"""Reports for reading, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from inference.common.file_names import shown
from train_scripts.metrics.comparison import Comparison
from train_scripts.metrics.evaluator import Report
from train_scripts.tables import Sheet

__all__ = ["comparison_sheet", "examples_sheet", "report_sheet"]

_SIGN = {"higher": "↑", "lower": "↓", "neither": ""}


def report_sheet(report: Report, name: str) -> Sheet:
    """Every score of one system with its interval."""
    rows = []
    for measure in report.measurements.counts:
        estimate = report.estimates[measure.key]
        between = f"{measure.show(estimate.low)} … {measure.show(estimate.high)}"
        rows.append(
            (f"{measure.title} {_SIGN[measure.better]}".strip(), measure.show(estimate.value), between)
        )
    empty = sum(not text.strip() for text in report.measurements.predictions)
    title = f"{name}: {report.pictures} pictures, {empty} empty captions"
    return Sheet(title, ("Score", "Value", "95 % interval"), tuple(rows))


def comparison_sheet(comparison: Comparison, name_a: str, name_b: str) -> Sheet:
    """Every score of both systems, B minus A with its interval, and which one is better beyond chance."""
    names = {"A": name_a, "B": name_b, "neither": ""}
    rows = []
    for each in comparison.differences.values():
        m, d = each.measure, each.difference
        rows.append(
            (
                f"{m.title} {_SIGN[m.better]}".strip(),
                m.show(each.a),
                m.show(each.b),
                m.show(d.value, signed=True),
                f"{m.show(d.low, signed=True)} … {m.show(d.high, signed=True)}",
                "–" if each.p != each.p else f"{each.p:.3f}",
                names[each.verdict],
            )
        )
    title = f"{name_b} against {name_a}: {comparison.pictures} pictures, paired bootstrap"
    return Sheet(title, ("Score", name_a, name_b, "Difference", "95 % interval", "p", "Better"), tuple(rows))


def examples_sheet(comparison: Comparison, key: str, name_a: str, name_b: str, count: int) -> Sheet:
    """The `count` pictures where B gains most over A on the measure `key`, and the `count` where it loses
    most.
    """
    chosen = comparison.differences[key].measure
    rows = [row for row in comparison.rows(key) if row["gain"] is not None]
    gains = [row for row in rows if row["gain"] > 0][:count]
    losses = [row for row in rows if row["gain"] < 0][-count:] if count else []
    cells: Sequence[tuple[str, ...]] = [
        (
            shown(row["file_name"]),
            row["reference"],
            row["a"],
            row["b"],
            chosen.show(row[f"{key}_a"]),
            chosen.show(row[f"{key}_b"]),
        )
        for row in gains + losses
    ]
    columns = ("Picture", "Reference", name_a, name_b, name_a, name_b)
    return Sheet(f"Where they differ most, by {chosen.title}", columns, tuple(cells), text_columns=4)
