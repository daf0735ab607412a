"""``python -m tests.benchmarks versions BEFORE MEMES``: another version of the program against this one.

``BEFORE`` is a checkout of the other version (``git worktree add BEFORE COMMIT``). Both are measured in turn,
in one run on one machine, by the same code (:mod:`tests.benchmarks.probe`): the model picture by picture on
one thread, whose captions are compared; the bot's start and memory; a picture beside busy processes. What is
found goes into ``--out``: ``versions.md`` (the table), ``versions.svg`` (the same as a plot),
``versions.json`` and both versions' captions.

With ``--install`` what a fresh clone of each installs is measured too, with ``--full-size`` ClipCap and
ResNet-101 + LSTM at full size beside their originals' loops and Hugging Face's search (:mod:`clipcap
<tests.benchmarks.clipcap>` and :mod:`sampling <tests.benchmarks.sampling>`).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console
from tqdm import tqdm

from inference.common.processors import available, patient
from tests.benchmarks.busy import busy
from tests.benchmarks.figures import Row, markdown, multiplies_bfloat16, plot, processor, table
from tests.benchmarks.installing import install_rows
from tests.benchmarks.measure import ROOT, quantile

PROBE = Path(__file__).with_name("probe.py")
BEFORE, NOW = "before", "now"
EXACT = "before, without bfloat16"  # the reader of before multiplies in it where the processor does


Part: TypeAlias = tuple[list[Row], list[str]]  # figures, and what is told beside them


class Probe:
    """A process of one version, with the models that it came with, that answers line by line; see
    :mod:`tests.benchmarks.probe`. ``compiled``: where Python keeps the modules that it has compiled, whatever
    the environment says: an installation has them beside its sources."""

    def __init__(self, checkout: Path, kind: str, model: str, compiled: Path, *, threads: int | None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(compiled)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
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
    kinds: Mapping[str, tuple[Path, str]], model: str, compiled: Path, *, threads: int | None = None
) -> Iterator[dict[str, Probe]]:
    """One of each checkout and kind, by their names; they end with the block."""
    with ExitStack() as stack:
        started = {}
        for name, (checkout, kind) in kinds.items():
            started[name] = Probe(checkout, kind, model, compiled, threads=threads)
            stack.callback(started[name].process.wait)
            stack.callback(started[name].process.kill)
        yield started


def in_turn(names: Sequence[str], number: int) -> Sequence[str]:
    """Each is first in every second turn: whoever comes second finds the picture in the cache."""
    return names if number % 2 == 0 else tuple(reversed(names))


def captions_of(
    checkouts: Mapping[str, Path], model: str, pictures: Sequence[Path], compiled: Path
) -> dict[str, list[dict[str, Any]]]:
    """Of each version what it says of each picture, and how long that took; the first is said twice."""
    kinds = {name: (checkout, "captioner") for name, checkout in checkouts.items()}
    if multiplies_bfloat16():
        kinds[EXACT] = (checkouts[BEFORE], "captioner_without_bfloat16")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in kinds}
    with probes(kinds, model, compiled, threads=1) as started:
        for probe in started.values():
            probe(pictures[0])  # what only the first picture pays for
        for number, picture in enumerate(tqdm(pictures, desc="one thread", mininterval=5)):
            for name in in_turn([*started], number):
                found[name].append({"file_name": picture.name, **started[name](picture)})
    return found


def same_captions(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How many are the same now, for each of the others."""
    told = []
    for name in (name for name in found if name != NOW):
        pairs = zip(found[name], found[NOW], strict=True)
        same = sum(one["text"] == other["text"] for one, other in pairs)
        told.append(f"same caption as {name} on {same} of {len(found[NOW])} memes")
    return told


def caption_rows(found: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Seconds a picture on one thread."""

    def of(name: str, share: float) -> float:
        return quantile([one["seconds"] for one in found[name]], share)

    rows = []
    for before in (name for name in found if name != NOW):
        which = before.removeprefix(BEFORE)
        rows += [
            Row(f"a picture, one thread, median{which}", "s", of(before, 0.5), of(NOW, 0.5)),
            Row(f"a picture, one thread, 95 %{which}", "s", of(before, 0.95), of(NOW, 0.95)),
        ]
    return rows


def bot_rows(started: dict[str, Probe], pictures: Sequence[Path], rounds: int) -> list[Row]:
    """Start to the first reply, the median of the rounds, behind a start each that compiles the modules;
    memory of both processes after all pictures."""
    for probe in started.values():
        probe(*pictures[:2])
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


def busy_rows(started: dict[str, Probe], pictures: Sequence[Path], beside: int, rounds: int) -> Part:
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


def compare(  # noqa: PLR0917 - the options of a command
    before: Annotated[Path, typer.Argument(help="A checkout of the other version.", exists=True)],
    memes: Annotated[Path, typer.Argument(help="Folder with images/ and val.jsonl.", exists=True)],
    count: Annotated[int, typer.Option(min=3, help="How many memes.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Starts of the bot, and times beside others.")] = 3,
    beside: Annotated[int, typer.Option(min=1, help="How many busy processes.")] = 6,
    model: Annotated[str, typer.Option()] = "meme-small",
    install: Annotated[bool, typer.Option(help="Install a fresh clone of each, too.")] = False,
    full_size: Annotated[bool, typer.Option(help="The search at full size, too.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the table, the plot and the captions.")] = Path(
        "runs/versions"
    ),
) -> None:
    """Measure another version of the program against this one."""
    lines = [json.loads(line) for line in (memes / "val.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures = [(memes / line["file_name"]).resolve() for line in lines[:count]]
    checkouts = {BEFORE: before.resolve(), NOW: ROOT}
    out.mkdir(parents=True, exist_ok=True)

    def described() -> Part:
        found = captions_of(checkouts, model, pictures, compiled)
        for name, own in found.items():
            said = [json.dumps(one, ensure_ascii=False) for one in own]
            (out / f"{name}.jsonl").write_text("\n".join(said) + "\n", encoding="utf-8")
        return caption_rows(found), [processor(), *same_captions(found)]

    def answered() -> Part:
        kinds = {name: (checkout, "bot") for name, checkout in checkouts.items()}
        with probes(kinds, model, compiled) as started:
            return bot_rows(started, pictures, rounds), []

    def kept_busy() -> Part:
        kinds = {name: (checkout, "engine") for name, checkout in checkouts.items()}
        with probes(kinds, model, compiled) as started:
            return busy_rows(started, pictures[:9], beside, rounds)

    def at_full_size() -> Part:
        from tests.benchmarks import clipcap, sampling  # PyTorch takes seconds

        # A sentence of ResNet-101 + LSTM takes a tenth of a second: a moment's trouble weighs more.
        return [*clipcap.rows(rounds), *sampling.rows(5 * rounds)], []

    parts = [described, answered, kept_busy]
    parts += [lambda: (install_rows(checkouts), [])] if install else []
    parts += [at_full_size] if full_size else []
    figures: list[Row] = []
    told: list[str] = []
    with TemporaryDirectory() as folder:
        compiled = Path(folder)
        for part in parts:
            rows, more = part()
            figures, told = [*figures, *rows], [*told, *more]
            # After each: what was measured is not lost when a later part fails.
            (out / "versions.json").write_text(json.dumps([asdict(row) for row in figures], indent=1) + "\n")
            (out / "versions.md").write_text(markdown(figures, told), encoding="utf-8")
            plot(figures, out / "versions.svg")
    console = Console()
    console.print(table(figures))
    for one in told:
        console.print(f"- {one}", soft_wrap=True, markup=False)
    console.print(f"Written to {out}.")
