"""``python -m tests.reliability.hostile_files``: what files cost that were made to cost much.

Each is given to the model alone. Then the costliest ones are given to it two at a time, as one person could,
while somebody else sends memes. A run takes some ten minutes of two cores, and writes nothing but what
`--out` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from inference.common.errors import UserError
from inference.common.types import PictureError
from inference.serving.engine import Engine, EngineSettings
from tests.drawing import DEFAULT_WORDS, KINDS, draw_meme, jpeg_bytes
from tests.reliability.hostile import families
from tests.reliability.looking import Looking

_WORKER, _OPENER = "inference.serving.worker", "inference.serving.opener"
_MEGABYTE = 1_000_000
DEFAULTS = EngineSettings()
_COSTLIEST = 24  # files that are sent beside memes


@dataclass(frozen=True, slots=True)
class Result:
    """What one file cost."""

    family: str
    name: str
    outcome: str  # "caption", a refusal's code, or the name of another error
    seconds: float  # by the clock
    processor: float  # seconds of the processes that open and describe
    worker: int  # bytes resident in the worker at its highest
    memory: int  # and in it and in what opens files, all processes together
    restarts: int  # of the worker

    @property
    def key(self) -> str:
        """By which it is found in another run."""
        return f"{self.family}: {self.name}"


class Watch(Looking):
    """Looks at the processes of an engine a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(0.01)
        self.worker = self.all = 0  # bytes at their highest, which need not be at one time

    def look(self) -> None:
        memory = Counter[str]()
        for process in processes():
            with contextlib.suppress(psutil.Error):
                # Of a child that was forked, what it shares with its parent is not counted twice.
                resident, shared = process.memory_info()[:3:2]
                memory[role(process)] += resident - (shared if role(process) == _OPENER else 0)
        self.worker = max(self.worker, memory[_WORKER])
        self.all = max(self.all, memory.total())


def processes() -> list[psutil.Process]:
    """Those of the engine."""
    return psutil.Process().children(recursive=True)


def role(process: psutil.Process) -> str:
    """The module that it runs."""
    command = process.cmdline()
    return command[2] if len(command) > 2 else ""


def processor_seconds() -> float:
    """Of all of them, and of what they started and saw end."""
    total = 0.0
    for process in processes():
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


async def outcome_of(engine: Engine, data: bytes) -> str:
    """What came of a file."""
    try:
        await engine.caption(data)
    except PictureError as error:
        assert_one_sentence(str(error))
        return error.code
    except UserError as error:
        assert_one_sentence(str(error))
        return type(error).__name__
    return "caption"


def assert_one_sentence(text: str) -> None:
    """Raises AssertionError for a refusal that is none."""
    assert text.endswith(".") and "\n" not in text and len(text) < 250, text


async def cost(engine: Engine, family: str, name: str, data: bytes) -> Result:
    """One file, alone."""
    before, pid, started = processor_seconds(), engine.worker_pid, time.perf_counter()
    with Watch() as watch:
        outcome = await outcome_of(engine, data)
        seconds = time.perf_counter() - started
    spent = max(0.0, processor_seconds() - before)
    return Result(
        family, name, outcome, seconds, spent, watch.worker, watch.all, int(engine.worker_pid != pid)
    )


def memes(count: int) -> list[bytes]:
    """What people send, no two alike."""
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    return [
        jpeg_bytes(draw_meme(kind, *DEFAULT_WORDS[kind], width=800 + number))
        for number, kind in enumerate(kinds)
    ]


async def beside(engine: Engine, hostile: list[bytes]) -> tuple[list[float], list[float]]:
    """Seconds of each meme alone, and while two hostile files at a time are sent until none is left."""

    async def described(data: bytes) -> float:
        started = time.perf_counter()
        await engine.caption(data)
        return time.perf_counter() - started

    sent = memes(20)
    alone = [await described(data) for data in sent]
    left = iter(hostile)

    async def person() -> None:
        for data in left:
            await outcome_of(engine, data)

    sending = asyncio.gather(person(), person())
    meanwhile: list[float] = []
    while not sending.done():
        meanwhile.append(await described(sent[len(meanwhile) % len(sent)]))
    await sending
    return alone, meanwhile


def table(results: list[Result], before: dict[str, Result]) -> Table:
    """One row a family; in brackets what it was before."""
    made = Table("Family", "Files", "Captions", "Refused", "Failed", title="The worst file of each family")
    for title in ("seconds", "of processor", "worker, MB", "with openers, MB", "restarts"):
        made.add_column(title, justify="right")
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.family, []).append(result)
        groups.setdefault("all", []).append(result)
    for family, group in sorted(groups.items(), key=lambda item: item[0] == "all"):
        old = [before[one.key] for one in group if one.key in before]
        captions = sum(one.outcome == "caption" for one in group)
        failed = sum(one.outcome[0].isupper() for one in group)
        made.add_row(
            family,
            str(len(group)),
            str(captions),
            str(len(group) - captions - failed),
            str(failed),
            _and_before(max(one.seconds for one in group), [one.seconds for one in old], max, "{:.1f}"),
            _and_before(max(one.processor for one in group), [one.processor for one in old], max, "{:.1f}"),
            _and_before(
                max(one.worker for one in group) / _MEGABYTE, [one.worker / _MEGABYTE for one in old], max
            ),
            _and_before(
                max(one.memory for one in group) / _MEGABYTE, [one.memory / _MEGABYTE for one in old], max
            ),
            _and_before(sum(one.restarts for one in group), [one.restarts for one in old], sum),
        )
    return made


def _and_before(now: float, old: list[Any], combined: Any, shape: str = "{:.0f}") -> str:
    return shape.format(now) + (f" ({shape.format(combined(old))})" if old else "")


def chosen(only: str | None) -> Iterator[tuple[str, str, Any]]:
    """The families, and those of them whose name holds `only`."""
    for family, named in families().items():
        if only is None or only in family:
            for name, make in named:
                yield family, name, make


async def measure(
    settings: EngineSettings, only: str | None
) -> tuple[list[Result], list[float], list[float]]:
    """All files alone, then the costliest ones beside memes."""
    results: list[Result] = []
    costly: list[tuple[float, bytes]] = []
    async with Engine(settings) as engine:
        await engine.caption(memes(1)[0])
        for family, name, make in tqdm(list(chosen(only))):
            data = await asyncio.to_thread(make)
            results.append(await cost(engine, family, name, data))
            costly = sorted([*costly, (results[-1].seconds, data)], key=lambda one: -one[0])[:_COSTLIEST]
        alone, meanwhile = await beside(engine, [data for _, data in costly])
    return results, alone, meanwhile


def main(
    out: Annotated[Path | None, typer.Option(help="A file for the results, to compare with.")] = None,
    before: Annotated[Path | None, typer.Option(help="Such a file of another version.")] = None,
    *,
    only: Annotated[str | None, typer.Option(help="Families whose name holds this.")] = None,
    model: Annotated[str, typer.Option(envvar="MODEL")] = DEFAULTS.model,
    models_dir: Annotated[Path, typer.Option(envvar="MODELS_DIR")] = DEFAULTS.models_dir,
    captioner: Annotated[str, typer.Option(envvar="CAPTIONER", hidden=True)] = DEFAULTS.captioner,
) -> None:
    """What files cost that were made to cost much: seconds, memory, restarts, and other people's time."""
    settings = replace(DEFAULTS, model=model, models_dir=models_dir, captioner=captioner)
    results, alone, meanwhile = asyncio.run(measure(settings, only))
    if out is not None:
        out.write_text(json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=1))
    former = [Result(**row) for row in json.loads(before.read_text())] if before is not None else []
    console = Console(width=140)
    console.print(table(results, {one.key: one for one in former}))
    console.print(Counter(result.outcome for result in results).most_common())
    for result in sorted(results, key=lambda one: -one.seconds)[:10]:
        spent = f"{result.seconds:6.1f} s {result.memory / _MEGABYTE:5.0f} MB"
        console.print(f"{spent} {result.outcome}: {result.key}")
    usual, then = statistics.median(alone), statistics.median(meanwhile)
    console.print(
        f"Somebody else's meme: {usual:.2f} s alone, {then:.2f} s ({then / usual:.1f} times as long) beside "
        f"two hostile files at a time, {max(meanwhile):.2f} s at most, of {len(meanwhile)}."
    )


if __name__ == "__main__":
    typer.run(main)
