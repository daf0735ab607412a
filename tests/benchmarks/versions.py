"""``python -m tests.benchmarks versions BEFORE MEMES``: another version of the program against this one.

``BEFORE`` is a checkout of the other version (``git worktree add BEFORE COMMIT``). Both are measured in turn,
in one run on one machine, by the same code (:mod:`tests.benchmarks.probe`): the model picture by picture on
one thread, whose captions are compared; the bot's start and memory; a picture beside busy processes. What is
found goes into ``--out``: ``versions.md`` (the table), ``versions.svg`` (the same as a plot),
``versions.json`` and both versions' captions.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from inference.common.processors import available, patient
from tests.benchmarks.busy import busy
from tests.benchmarks.measure import ROOT, quantile

PROBE = Path(__file__).with_name("probe.py")
BEFORE, NOW = "before", "now"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both versions; less is better in all of them."""

    what: str
    unit: str
    before: float
    now: float

    @property
    def ratio(self) -> float:
        """How many times less it is now."""
        return self.before / self.now


class Probe:
    """A process of one version, with the models that it came with, that answers line by line; see
    :mod:`tests.benchmarks.probe`."""

    def __init__(self, checkout: Path, kind: str, model: str, *, threads: int | None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        if threads is not None:
            counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
            environment = patient(environment) | counts
        self.process = subprocess.Popen(
            [sys.executable, PROBE, kind, checkout / "checkpoints", model],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *paths: Path) -> dict[str, Any]:
        """Raises typer.BadParameter when the process has ended: what it said stands above."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([str(path) for path in paths]) + "\n")
            self.process.stdin.flush()
            found: dict[str, Any] = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            raise typer.BadParameter(f"a version cannot be measured: {error}") from None
        return found


@contextmanager
def probes(
    checkouts: dict[str, Path], kind: str, model: str, *, threads: int | None = None
) -> Iterator[dict[str, Probe]]:
    """Of each version one; they end with the block."""
    with ExitStack() as stack:
        started = {}
        for name, checkout in checkouts.items():
            started[name] = Probe(checkout, kind, model, threads=threads)
            stack.callback(started[name].process.wait)
            stack.callback(started[name].process.kill)
        yield started


def in_turn(names: Sequence[str], number: int) -> Sequence[str]:
    """Each is first in every second turn: whoever comes second finds the picture in the cache."""
    return names if number % 2 == 0 else tuple(reversed(names))


def captions(started: dict[str, Probe], pictures: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Of each version what it says of each picture, and how long that took; the first is said twice."""
    for probe in started.values():
        probe(pictures[0])  # what only the first picture pays for
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in started}
    for number, picture in enumerate(tqdm(pictures, desc="one thread", mininterval=5)):
        for name in in_turn([*started], number):
            found[name].append({"file_name": picture.name, **started[name](picture)})
    return found


def caption_rows(found: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Seconds a picture on one thread."""

    def of(name: str, share: float) -> float:
        return quantile([one["seconds"] for one in found[name]], share)

    return [
        Row("a picture, one thread, median", "s", of(BEFORE, 0.5), of(NOW, 0.5)),
        Row("a picture, one thread, 95 %", "s", of(BEFORE, 0.95), of(NOW, 0.95)),
    ]


def bot_rows(started: dict[str, Probe], pictures: Sequence[Path], rounds: int) -> list[Row]:
    """Start to the first reply, the median of the rounds; memory of both processes after all pictures."""
    first: dict[str, list[float]] = {name: [] for name in started}
    memory: dict[str, float] = {}
    for number in tqdm(range(rounds), desc="the bot's start", mininterval=5):
        for name in in_turn([*started], number):
            found = started[name](*(pictures if number == rounds - 1 else pictures[:2]))
            first[name].append(found["first_answer"])
            memory[name] = found["bot"] + found["worker"]
    start = {name: statistics.median(values) for name, values in first.items()}
    held = f"bot and worker after {len(pictures)} memes, resident"
    return [
        Row("start to the first reply", "s", start[BEFORE], start[NOW]),
        Row(held, "MB", memory[BEFORE], memory[NOW]),
    ]


def busy_rows(
    started: dict[str, Probe], pictures: Sequence[Path], beside: int, rounds: int
) -> tuple[list[Row], list[str]]:
    """A picture on all processors, alone and beside busy processes; and how many times as long that is."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in tqdm(range(rounds), desc="beside busy processes", mininterval=5):
        for others in (0, beside):
            for name in in_turn([*started], number):
                with busy(others):
                    seconds.setdefault((name, others), []).extend(started[name](*pictures)["seconds"])
    median = {key: statistics.median(values) for key, values in seconds.items()}
    told = [
        f"beside {beside} busy processes a picture takes {median[name, beside] / median[name, 0]:.1f} times "
        f"as long as alone ({name})"
        for name in started
    ]
    rows = [
        Row(f"a picture on {available()} processors", "s", median[BEFORE, 0], median[NOW, 0]),
        Row(f"a picture beside {beside} busy processes", "s", median[BEFORE, beside], median[NOW, beside]),
    ]
    return rows, told


def processor() -> str:
    """Its name, and whether it multiplies bfloat16."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {key.strip(): value.strip() for key, value in told.items()}
    flags = values.get("flags", "").split()
    kinds = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{values.get('model name', 'unknown')} ({', '.join(kinds)}), {available()} processors usable"


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
    shown = (f"{value:.0f}" if row.unit == "MB" else f"{value:.2f}" for value in (row.before, row.now))
    before, now = (f"{value} {row.unit}" for value in shown)
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

    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(rows) + 1.2))
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


def compare(  # noqa: PLR0917 - the options of a command
    before: Annotated[Path, typer.Argument(help="A checkout of the other version.", exists=True)],
    memes: Annotated[Path, typer.Argument(help="Folder with images/ and val.jsonl.", exists=True)],
    count: Annotated[int, typer.Option(min=3, help="How many memes.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Starts of the bot, and times beside others.")] = 3,
    beside: Annotated[int, typer.Option(min=1, help="How many busy processes.")] = 6,
    model: Annotated[str, typer.Option()] = "meme-small",
    out: Annotated[Path, typer.Option(help="Folder for the table, the plot and the captions.")] = Path(
        "runs/versions"
    ),
) -> None:
    """Measure another version of the program against this one."""
    rows = [json.loads(line) for line in (memes / "val.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures = [(memes / row["file_name"]).resolve() for row in rows[:count]]
    checkouts = {BEFORE: before.resolve(), NOW: ROOT}
    with probes(checkouts, "captioner", model, threads=1) as started:
        found = captions(started, pictures)
    figures = caption_rows(found)
    same = sum(one["text"] == other["text"] for one, other in zip(found[BEFORE], found[NOW], strict=True))
    told = [processor(), f"same caption on {same} of {len(pictures)} memes"]
    with probes(checkouts, "bot", model) as started:
        figures += bot_rows(started, pictures, rounds)
    with probes(checkouts, "engine", model) as started:
        more, beside_others = busy_rows(started, pictures[:9], beside, rounds)
    figures += more
    told += beside_others
    out.mkdir(parents=True, exist_ok=True)
    for name, own in found.items():
        lines = [json.dumps(one, ensure_ascii=False) for one in own]
        (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "versions.json").write_text(json.dumps([asdict(row) for row in figures], indent=1) + "\n")
    (out / "versions.md").write_text(markdown(figures, told), encoding="utf-8")
    plot(figures, out / "versions.svg")
    console = Console()
    console.print(table(figures))
    for one in told:
        console.print(f"- {one}", soft_wrap=True, markup=False)
    console.print(f"Written to {out}.")
