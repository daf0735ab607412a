"""Figures of before and of now, as a table for the terminal, one for docs/results.md, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from inference.common.processors import available

_WHOLE, _TENTHS = 100, 10  # from which value on a figure has no decimals, and one


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both; less is better in all of them."""

    what: str
    unit: str
    before: float
    now: float

    @property
    def ratio(self) -> float:
        """How many times less it is now."""
        return self.before / self.now


def processor() -> str:
    """Its name, and whether it multiplies bfloat16."""
    kinds = [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in _told("flags").split()
    ]
    return f"{_told('model name') or 'unknown'} ({', '.join(kinds)}), {available()} processors usable"


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it."""
    return "avx512_bf16" in _told("flags").split()


def table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    made = Table("Figure", title="Before and now, in turn in one run")
    for name in ("before", "now", "times less"):
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(row.what, *cells(row))
    return made


def cells(row: Row) -> tuple[str, str, str]:
    """Both figures with their unit, and the ratio."""
    before, now = (f"{_rounded(value)} {row.unit}" for value in (row.before, row.now))
    return before, now, f"{row.ratio:.2f}"


def markdown(rows: Sequence[Row], told: Sequence[str]) -> str:
    """The table as docs/results.md has it, and what is told beside it."""
    lines = ["| Figure | before | now | times less |", "| :-- | --: | --: | --: |"]
    lines += [f"| {row.what} | {' | '.join(cells(row))} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {one}" for one in told), ""])


def plot(rows: Sequence[Row], path: Path) -> None:
    """A bar a figure: what it is now, of what it was before."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "versions"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.4 * len(rows) + 1.2))
    places = range(len(rows))
    axes.barh(places, [1.0] * len(rows), color="#d9dde3", label="before")
    axes.barh(places, [row.now / row.before for row in rows], color="#2f6fb0", height=0.55, label="now")
    for place, row in zip(places, rows, strict=True):
        before, now, _ = cells(row)
        axes.text(1.02, place, f"{before} → {now}", va="center", fontsize=9)
    axes.set_yticks(places, [row.what for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.45, *(row.now / row.before for row in rows)))
    axes.set_xlabel("share of what it was before (less is better)")
    axes.legend(loc="lower right", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _rounded(value: float) -> str:
    return f"{value:.{0 if value >= _WHOLE else 1 if value >= _TENTHS else 2}f}"


def _told(key: str) -> str:
    """What the system says of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in told.items()}.get(key, "")
