"""``python -m tests.benchmarks crowd``: many people send pictures at once, and describing takes 20 ms.

What is measured is the bot's own share: its processor time a picture, its calls of the Bot API, and how long
the event loop came to nothing else, during which nobody is served.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from bot.sandbox import Sandbox
from inference.common.types import Caption, DecodingOptions
from inference.serving.engine import EngineSettings
from tests.benchmarks.measure import quantile, running_bot
from tests.drawing import jpeg_bytes
from tests.inference.fakes import FakeCaptioner, write_checkpoint

DESCRIBING = 0.02  # s
MODEL = "crowd"
_FIRST = 7_000  # the number of the first person
_OTHERS = {"getUpdates", "download"}  # polls, and the file server
_SHOWN = 5  # of the times at which the loop was held


class SlowCaptioner(FakeCaptioner):
    """Takes its time for each picture, as a model does, without the processor."""

    def caption(self, images: Sequence[Image.Image], options: DecodingOptions | None) -> list[Caption]:
        time.sleep(DESCRIBING * len(images))
        return super().caption(images, options)


def load(name: str, models_dir: Path, *, threads: int | None = None) -> SlowCaptioner:
    """For the worker: ``tests.benchmarks.crowd:load``."""
    return SlowCaptioner(name, models_dir, threads)


@dataclass(slots=True)
class Crowd:
    """What became of the pictures of all people."""

    pictures: int
    people: int
    seconds: float = 0.0  # from the first picture to the last reply
    processor: float = 0.0  # seconds of the bot's process
    calls: Counter[str] = field(default_factory=Counter)  # of the Bot API, by method, polls left out
    # For how long the loop was held, how much of that at work (s), and by what, the longest first.
    blocks: list[tuple[float, float, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds from the first picture to each reply


async def crowd(pictures: int, people: int, folder: Path) -> Crowd:
    """Each of the people sends pictures, all at once; until every one is answered."""
    write_checkpoint(folder / "models", MODEL)
    settings = EngineSettings(
        model=MODEL, models_dir=folder / "models", captioner="tests.benchmarks.crowd:load"
    )
    result = Crowd(pictures, people)
    held = folder / "held.jsonl"
    # Of another size each: a picture that was described before would cost nothing.
    data = [jpeg_bytes(Image.new("RGB", (300 + n % 64, 240 + n // 64), "teal")) for n in range(pictures)]
    command = ["-m", "tests.benchmarks.watched", str(held), "run"]
    async with Sandbox() as sandbox, running_bot(sandbox, settings, folder, command=command) as process:
        # None of the crowd's: what is described already is not fetched.
        await sandbox.send_photo(jpeg_bytes(Image.new("RGB", (320, 240), "white")))
        await sandbox.wait_for(lambda: any("reply_markup" in one for one in sandbox.messages(by_bot=True)))
        sandbox.calls.clear()
        processor, started = sum(process.cpu_times()[:2]), time.monotonic()
        progress = tqdm(total=pictures, desc="answered")

        def answered() -> bool:
            calls = list(sandbox.calls)
            sandbox.calls.clear()
            for call in calls:
                if call.status is None:  # not answered yet: looked at again
                    sandbox.calls.append(call)
                    continue
                result.calls[call.method] += call.method not in _OTHERS
                if "reply_markup" in call.params:
                    result.waits.append(time.monotonic() - started)
                    progress.update()
            return len(result.waits) >= pictures

        sending = asyncio.create_task(_send(sandbox, data, people))
        await sandbox.wait_for(answered, timeout=600)
        await sending
        result.seconds = time.monotonic() - started
        result.processor = sum(process.cpu_times()[:2]) - processor
        progress.close()
    lines = held.read_text(encoding="utf-8").splitlines() if held.exists() else []
    blocks = [tuple(block) for ended, *block in map(json.loads, lines) if ended > started]
    result.blocks = sorted(blocks, key=lambda block: -block[1])
    return result


async def _send(sandbox: Sandbox, data: Sequence[bytes], people: int) -> None:
    for number, picture in enumerate(data):
        await sandbox.send_photo(picture, user=_FIRST + number % people)


def table(result: Crowd) -> Table:
    """The bot's share, a picture."""
    made = Table("", "", title=f"{result.pictures} pictures of {result.people} people at once")
    held = [seconds for seconds, _, _ in result.blocks]
    worked = [seconds for _, seconds, _ in result.blocks]
    rows = [
        ("pictures answered a second", f"{result.pictures / result.seconds:.1f}"),
        ("ms of the bot's processor time a picture", f"{1000 * result.processor / result.pictures:.1f}"),
        ("s until a reply, median", f"{statistics.median(result.waits):.1f}"),
        ("s until a reply, 95 %", f"{quantile(result.waits, 0.95):.1f}"),
        ("ms for which the loop was held, at most", f"{1000 * max(held, default=0):.0f}"),
        ("  of processor time, at most", f"{1000 * max(worked, default=0):.0f}"),
        ("calls of the Bot API a picture", f"{result.calls.total() / result.pictures:.2f}"),
        *((f"  {name}", f"{n / result.pictures:.2f}") for name, n in result.calls.most_common() if n),
    ]
    for row in rows:
        made.add_row(*row)
    return made


def at_once(
    pictures: Annotated[int, typer.Option(min=1, help="Of all people together.")] = 2000,
    people: Annotated[int, typer.Option(min=1, help="How many send them.")] = 200,
) -> None:
    """The bot's own share of the work when many people send pictures at once."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(crowd(pictures, people, Path(folder)))
    console.print(table(result))
    for _, worked, what in result.blocks[:_SHOWN]:
        console.print(
            f"{1000 * worked:.0f} ms of processor time: {what[:300]}", markup=False, highlight=False
        )
