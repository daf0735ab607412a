"""What ``caption --timings`` prints: where the time of many pictures went."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

__all__ = ["timings"]

_TOTAL = "total"


def timings(pictures: Sequence[Mapping[str, float]]) -> Table:
    """Milliseconds a picture by stage, from the ``seconds`` of at least one caption; a stage's parts stand
    below it. The last column is its share of the time of all stages.
    """
    spent = {name: [seconds.get(name, 0.0) for seconds in pictures] for name in _names(pictures)}
    whole = sum(sum(seconds) for name, seconds in spent.items() if "." not in name and name != _TOTAL)
    table = Table("Stage", title=f"Milliseconds a picture, of {len(pictures)}")
    for heading in ("mean", "median", "95 %", "share"):
        table.add_column(heading, justify="right")
    for name, seconds in spent.items():
        share = f"{sum(seconds) / whole:.0%}" if whole and name != _TOTAL else ""
        part = name.partition(".")[2]
        table.add_row(f"  {part}" if part else name, *_cells(seconds), share)
    return table


def _names(pictures: Sequence[Mapping[str, float]]) -> list[str]:
    """Of all stages of any picture, each before its parts; the total stands last."""
    names = dict.fromkeys(name for seconds in pictures for name in seconds)
    wholes = list(dict.fromkeys(name.partition(".")[0] for name in names))
    return sorted(names, key=lambda name: (name == _TOTAL, wholes.index(name.partition(".")[0]), "." in name))


def _cells(seconds: Sequence[float]) -> list[str]:
    late = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return [f"{1000 * value:.0f}" for value in (statistics.mean(seconds), statistics.median(seconds), late)]
