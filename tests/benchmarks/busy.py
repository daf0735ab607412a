"""``python -m tests.benchmarks busy``: how much longer a picture takes beside processes that never pause.

Two ways in which the worker's threads wait for each other, in turn, in one run:

* spinning, as GNU's OpenMP has it where nobody says otherwise (300,000 rounds before a thread sleeps);
* for a moment, and then sleeping, as the engine starts its worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from inference.common.processors import available
from inference.common.types import EngineError
from inference.serving.engine import EngineSettings
from tests.benchmarks.measure import EngineResult, engine_alone, quantile
from tests.drawing import DEFAULT_WORDS, KINDS, draw_meme, jpeg_bytes

WAYS = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},
    "sleeping soon": {},
}
_BUSY = "while True: pass"
DEFAULTS = EngineSettings()


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes compute without a pause; they end with this one."""
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """The variables are set for the processes started within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(settings: EngineSettings, pictures: list[bytes], way: str, beside: int) -> EngineResult:
    """The model on all processors, with so many busy processes beside it."""
    with environment(WAYS[way]), busy(beside):
        return asyncio.run(engine_alone(settings, pictures, available()))


def table(seconds: dict[tuple[str, int], list[float]], beside: int) -> Table:
    """Of each way the seconds a picture, alone and beside others, and how many times as long that is."""
    made = Table("Threads wait", title=f"Seconds a picture, alone and beside {beside} busy processes")
    for name in ("alone\nmedian", "beside\nmedian", "\n95 %", "times as long"):
        made.add_column(name, justify="right")
    for way in WAYS:
        alone, other = seconds[way, 0], seconds[way, beside]
        median, long = statistics.median(alone), statistics.median(other)
        made.add_row(
            way, f"{median:.3f}", f"{long:.3f}", f"{quantile(other, 0.95):.3f}", f"{long / median:.1f}"
        )
    return made


def beside_others(
    beside: Annotated[int, typer.Option(min=1, help="How many busy processes.")] = 6,
    count: Annotated[int, typer.Option(min=2, help="Pictures a round.")] = 9,
    rounds: Annotated[int, typer.Option(min=1, help="Of each way, in turn.")] = 2,
    *,
    model: Annotated[str, typer.Option(envvar="MODEL")] = DEFAULTS.model,
    models_dir: Annotated[Path, typer.Option(envvar="MODELS_DIR")] = DEFAULTS.models_dir,
    captioner: Annotated[str, typer.Option(envvar="CAPTIONER", hidden=True)] = DEFAULTS.captioner,
) -> None:
    """Seconds a picture beside busy processes, with threads that spin and with threads that soon sleep."""
    settings = EngineSettings(model=model, models_dir=models_dir, captioner=captioner, picture_timeout=600)
    pictures = [
        jpeg_bytes(draw_meme(kind := KINDS[number % len(KINDS)], *DEFAULT_WORDS[kind], width=800 + number))
        for number in range(count)
    ]
    seconds: dict[tuple[str, int], list[float]] = {}
    try:
        for way, others in tqdm([(way, n) for _ in range(rounds) for n in (0, beside) for way in WAYS]):
            result = measure(settings, pictures, way, others)
            seconds.setdefault((way, others), []).extend(result.seconds("total"))
    except EngineError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    console = Console()
    console.print(f"{model}, {available()} processors usable, {rounds} rounds of {count - 1} pictures")
    console.print(table(seconds, beside))
