"""``python -m tests.benchmarks busy``: how much longer a picture takes beside processes that never pause."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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
from tests.drawing import KINDS, draw_meme, jpeg_bytes

_BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(100_000): pass"
DEFAULTS = EngineSettings()


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes compute without a pause; they end with this one, also when it is killed."""
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY, str(os.getpid())]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(settings: EngineSettings, pictures: list[bytes], beside: int) -> EngineResult:
    """The model on all processors, with so many busy processes beside it."""
    with busy(beside):
        return asyncio.run(engine_alone(settings, pictures, available()))


def table(seconds: dict[int, list[float]]) -> Table:
    """Seconds a picture by the number of busy processes, none first, and how many times as long that is."""
    made = Table("Busy processes", title="Seconds a picture")
    for name in ("median", "95 %", "times as long"):
        made.add_column(name, justify="right")
    alone = statistics.median(seconds[0])
    for beside, values in seconds.items():
        median = statistics.median(values)
        made.add_row(str(beside), f"{median:.3f}", f"{quantile(values, 0.95):.3f}", f"{median / alone:.1f}")
    return made


def beside_others(
    beside: Annotated[int, typer.Option(min=1, help="How many busy processes.")] = 6,
    count: Annotated[int, typer.Option(min=2, help="Pictures a round.")] = 9,
    rounds: Annotated[int, typer.Option(min=1, help="Alone and beside the others, in turn.")] = 2,
    *,
    model: Annotated[str, typer.Option(envvar="MODEL")] = DEFAULTS.model,
    models_dir: Annotated[Path, typer.Option(envvar="MODELS_DIR")] = DEFAULTS.models_dir,
    captioner: Annotated[str, typer.Option(envvar="CAPTIONER", hidden=True)] = DEFAULTS.captioner,
) -> None:
    """Seconds a picture alone and beside busy processes."""
    settings = EngineSettings(model=model, models_dir=models_dir, captioner=captioner, picture_timeout=600)
    pictures = [
        jpeg_bytes(draw_meme(kind, width=800 + number))
        for number, kind in zip(range(count), itertools.cycle(KINDS), strict=False)
    ]
    seconds: dict[int, list[float]] = {}
    try:
        for others in tqdm([0, beside] * rounds):
            result = measure(settings, pictures, others)
            seconds.setdefault(others, []).extend(result.seconds("total"))
    except EngineError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    console = Console()
    console.print(f"{model}, {available()} processors usable, {rounds} rounds of {count - 1} pictures")
    console.print(table(seconds))
