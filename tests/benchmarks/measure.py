"""The measurements, each with real processes."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from bot.config import Settings
from bot.sandbox import Sandbox
from inference.common.types import Caption
from inference.serving.engine import Engine, EngineSettings

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000
STAGES = (
    "decode",
    *("read", "read.detect", "read.recognise", "read.arrange"),
    *("encode", "generate", "generate.see", "generate.search", "generate.write"),
    "total",
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one process; the first two as of now, the last one at its highest."""

    rss: int  # resident, pages shared with other processes included
    uss: int  # of this process alone: what would be free without it
    peak: int  # the highest RSS so far

    @classmethod
    def of(cls, process: psutil.Process) -> Memory:
        """Read from the running process."""
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        high = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return cls(
            rss=process.memory_info().rss,
            uss=process.memory_full_info().uss,
            peak=int(high.split()[1]) * 1024,
        )


@dataclass(frozen=True, slots=True)
class EngineResult:
    """One model on a number of cores, one picture at a time."""

    cores: int
    first_answer: float  # seconds from the engine's start to the first caption
    captions: list[Caption]  # of the pictures after the first one
    memory: Memory  # of the worker

    def seconds(self, stage: str) -> list[float]:
        """Of one stage, for each picture."""
        return [caption.seconds.get(stage, 0.0) for caption in self.captions]


@dataclass(slots=True)
class BotResult:
    """The whole bot, talking to the stand-in of Telegram."""

    first_answer: float  # seconds from the process's start to the first reply; the picture was waiting
    latencies: list[float] = field(default_factory=list)  # seconds from a picture's arrival to its reply
    processor: float = 0.0  # seconds of processor time of the bot's process, a picture
    bot: Memory | None = None
    worker: Memory | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of all lies (linear between neighbours)."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Processes started in this block may use the first `count` cores of those we may."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def engine_alone(settings: EngineSettings, pictures: Sequence[bytes], cores: int) -> EngineResult:
    """Caption the pictures one after the other with a worker on so many cores and as many threads."""
    engine = Engine(replace(settings, threads=cores, batch_size=1))
    started = time.perf_counter()
    with on_cores(cores):
        await engine.start()
    try:
        await engine.caption(pictures[0])
        first_answer = time.perf_counter() - started
        captions = [await engine.caption(data) for data in pictures[1:]]
        assert engine.worker_pid is not None
        return EngineResult(cores, first_answer, captions, Memory.of(psutil.Process(engine.worker_pid)))
    finally:
        await engine.stop()


@asynccontextmanager
async def running_bot(
    sandbox: Sandbox, settings: EngineSettings, folder: Path, *, command: Sequence[str] = ("-m", "bot", "run")
) -> AsyncIterator[psutil.Process]:
    """``python`` with the command, against the stand-in, with a store of its own in `folder`."""
    ours = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "BOT_TOKEN": sandbox.token,
        "BOT_API_URL": sandbox.url,
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/bot.db",
        "DATA_DIR": str(folder / "data"),
        "MODEL": settings.model,
        "MODELS_DIR": str(settings.models_dir.resolve()),
        "CAPTIONER": settings.captioner,
        "LOG_LEVEL": "WARNING",
    }
    # Run in that folder: no .env there decides anything.
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=folder, env=environment)
    try:
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def whole_bot(settings: EngineSettings, pictures: Sequence[bytes], folder: Path) -> BotResult:
    """Send the pictures one after the other; the first one is there before the bot starts."""
    async with Sandbox() as sandbox:
        await sandbox.send_photo(pictures[0])
        started = time.perf_counter()
        async with running_bot(sandbox, settings, folder) as process:
            await _replies(sandbox, 1, process)
            result = BotResult(time.perf_counter() - started)
            processor = sum(process.cpu_times()[:2])
            for number, data in enumerate(pictures[1:], 2):
                await sandbox.send_photo(data)  # returns when a poll can see it
                sent = time.perf_counter()
                await _replies(sandbox, number, process)
                result.latencies.append(time.perf_counter() - sent)
            result.processor = (sum(process.cpu_times()[:2]) - processor) / len(result.latencies)
            result.bot = Memory.of(process)
            workers = [child for child in process.children() if "inference.serving.worker" in child.cmdline()]
            result.worker = Memory.of(workers[0])
        return result


async def _replies(sandbox: Sandbox, count: int, process: psutil.Process) -> None:
    """Until so many messages of the bot carry buttons, which a caption does and nothing else here."""

    def answered() -> bool:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError("The bot has ended: what it said stands above.")
        replies = sandbox.messages(by_bot=True)
        return sum("reply_markup" in reply for reply in replies) >= count

    await sandbox.wait_for(answered, timeout=120)
