"""``python -m tests.benchmarks [FOLDER] [--model NAME]``: one table after the other.

``python -m tests.benchmarks clipcap`` is another; so are ``sampling``, ``lines``, ``busy``, ``crowd``
and ``versions``: see the modules.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import ModelName
from inference.common.types import EngineError
from inference.pictures.kinds import PICTURE_SUFFIXES
from inference.serving.engine import EngineSettings
from tests.benchmarks.measure import (
    MEGABYTE,
    STAGES,
    BotResult,
    EngineResult,
    Memory,
    engine_alone,
    quantile,
    whole_bot,
)
from tests.drawing import DEFAULT_WORDS, KINDS, draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint

DEFAULTS = EngineSettings()
FREE_CAPTIONER = "tests.inference.fakes:load"
# Modules and their functions; some import PyTorch, which takes seconds.
OTHERS = {
    "clipcap": "main",
    "sampling": "main",
    "lines": "lines",
    "busy": "beside_others",
    "crowd": "at_once",
    "versions": "compare",
}


def drawn(count: int) -> list[bytes]:
    """Memes of every kind in turn, no two alike."""
    pictures = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        words = [f"{text} {number}" for text in DEFAULT_WORDS[kind]]
        pictures.append(jpeg_bytes(draw_meme(kind, *words, width=800 + number)))
    return pictures


def found(folder: Path, count: int) -> list[bytes]:
    """Pictures of the folder, evenly spread over its sorted names."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in PICTURE_SUFFIXES]
    if len(files) < 2:
        raise typer.BadParameter(f"{folder} holds fewer than 2 pictures: name another folder, or none.")
    count = min(count, len(files))
    return [files[position * len(files) // count].read_bytes() for position in range(count)]


def stage_table(results: list[EngineResult]) -> Table:
    """Seconds by stage, the median and the 95th percentile, one pair of columns for each number of cores."""
    table = Table(title=f"Seconds per picture, {len(results[0].captions)} pictures one at a time")
    table.add_column("Stage")
    for result in results:
        cores = f"{result.cores} core{'s' if result.cores > 1 else ''}"
        table.add_column(f"{cores}\nmedian", justify="right")
        table.add_column("\n95 %", justify="right")
    # A captioner need not have every stage.
    stages = [stage for stage in STAGES if any(stage in caption.seconds for caption in results[0].captions)]
    for stage in stages:
        cells = []
        for result in results:
            seconds = result.seconds(stage)
            cells += [f"{quantile(seconds, 0.5):.3f}", f"{quantile(seconds, 0.95):.3f}"]
        table.add_row(
            stage, *cells, end_section=stage == stages[-2], style="bold" if stage == "total" else ""
        )
    return table


def start_table(results: list[EngineResult], whole: BotResult) -> Table:
    """From a start to the first answer."""
    table = Table("From the start of", "to the first", "Seconds", title="Start to first answer")
    for result in results:
        cores = f"{result.cores} core{'s' if result.cores > 1 else ''}"
        table.add_row(f"the engine, {cores}", "caption", f"{result.first_answer:.2f}")
    table.add_row("the bot (a photo is waiting)", "reply in the chat", f"{whole.first_answer:.2f}")
    return table


def memory_table(whole: BotResult) -> Table:
    """What the two processes hold after all pictures."""
    table = Table("Process", title="Resident memory, MB")
    for name in ("RSS", "USS", "highest RSS"):
        table.add_column(name, justify="right")
    both = [memory for memory in (whole.bot, whole.worker) if memory is not None]
    total = Memory(*(sum(getattr(memory, name) for memory in both) for name in ("rss", "uss", "peak")))
    for name, memory in zip(("bot", "worker", "both"), (*both, total), strict=True):
        cells = [f"{value / MEGABYTE:.0f}" for value in (memory.rss, memory.uss, memory.peak)]
        table.add_row(name, *cells, end_section=name == "worker")
    return table


def overhead_table(free: BotResult, whole: BotResult) -> Table:
    """From a photo's arrival to its reply, through polling, store, download and engine."""
    table = Table(title=f"The bot, {len(free.latencies)} photos one at a time")
    table.add_column("Captioner")
    for name in ("photo to reply, s\nmedian", "\n95 %", "bot's processor\ntime, s"):
        table.add_column(name, justify="right")
    for name, result in (("of no cost: the bot's own overhead", free), ("the model", whole)):
        latencies = [f"{quantile(result.latencies, share):.3f}" for share in (0.5, 0.95)]
        table.add_row(name, *latencies, f"{result.processor:.3f}")
    return table


def main(
    folder: Annotated[
        Path | None, typer.Argument(help="Pictures to measure with; none: memes drawn by the benchmark.")
    ] = None,
    model: Annotated[str, typer.Option(envvar="MODEL")] = DEFAULTS.model,
    models_dir: Annotated[Path, typer.Option(envvar="MODELS_DIR")] = DEFAULTS.models_dir,
    count: Annotated[int, typer.Option(min=3, help="How many pictures.")] = 21,
    captioner: Annotated[str, typer.Option(envvar="CAPTIONER", hidden=True)] = DEFAULTS.captioner,
) -> None:
    """Measure a model, and the bot around it, on this machine.

    The first picture of each run is left out of the medians: "start to first answer" is about that one.
    """
    console = Console()
    settings = EngineSettings(model=model, models_dir=models_dir, captioner=captioner)
    usable = len(os.sched_getaffinity(0))
    results: list[EngineResult] = []
    try:
        checkpoint = checkpoint_hash(models_dir, ModelName.parse(model))
        pictures = drawn(count) if folder is None else found(folder, count)
        with tempfile.TemporaryDirectory() as place, console.status("") as status:
            for name in ("whole", "free"):
                (Path(place) / name).mkdir()
            for cores in range(1, min(usable, 2) + 1):
                status.update(f"The model, cores: {cores}")
                results.append(asyncio.run(engine_alone(settings, pictures, cores)))
            status.update("The bot with the model")
            whole = asyncio.run(whole_bot(settings, pictures, Path(place) / "whole"))
            status.update("The bot with a captioner of no cost")
            write_checkpoint(Path(place) / "models", "free")
            free_settings = EngineSettings(
                model="free", models_dir=Path(place) / "models", captioner=FREE_CAPTIONER
            )
            free = asyncio.run(whole_bot(free_settings, pictures, Path(place) / "free"))
    except EngineError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    console.print(f"{model} ({checkpoint[:12]}), Python {platform.python_version()}, {usable} cores usable")
    for table in (
        stage_table(results),
        start_table(results, whole),
        memory_table(whole),
        overhead_table(free, whole),
    ):
        console.print(table)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in OTHERS:
        name = sys.argv.pop(1)
        typer.run(getattr(importlib.import_module(f"tests.benchmarks.{name}"), OTHERS[name]))
    else:
        typer.run(main)
