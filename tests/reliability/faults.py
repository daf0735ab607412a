"""``python -m tests.reliability.faults``: what becomes of pictures while things fail.

One bot with SQLite, before a stand-in of which a share of the calls fails, also so that the work is done and
its answer lost. Meanwhile its worker is killed, and then the bot itself. Then another process holds the
database's lock, then the disk is full, and the bot is killed while nothing can be written. A run takes some
five minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from bot.sandbox import Sandbox
from bot.sandbox.world import Json
from bot.texts import sentences, texts
from tests.bot.conftest import locked
from tests.e2e.processes import BotProcess, fake_settings, running
from tests.reliability.harness import (
    LATER,
    Count,
    Probes,
    RandomFaults,
    Row,
    free_port,
    pictures,
    remember_all_calls,
    said,
    send_pictures,
    show,
    until,
)

LOCKED = 50.0  # seconds; for thirty SQLite waits by itself
FULL = 30.0  # seconds
PATIENCE = 300.0  # seconds until everything is to be answered
_WORKER = "inference.serving.worker"


@dataclass(frozen=True, slots=True)
class Outage:
    """What came of a time in which the database could not be used."""

    count: Count
    broke: int  # people who were told that something broke
    later: int  # who were told that it takes longer
    told_twice: int
    noticed: float  # seconds until /readyz said so
    over: float  # and, when it could be used again, until it said that


@dataclass(frozen=True, slots=True)
class Result:
    """What came of all parts."""

    failed: int  # calls
    calls: int
    faults: Count
    locked: Outage
    full: Outage
    killed: Count  # pictures sent while nothing could be written, before the bot was killed


def kill_worker(bot: BotProcess) -> None:
    """``kill -9`` of what describes."""
    assert bot.process is not None
    for child in psutil.Process(bot.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if _WORKER in child.cmdline():
                child.kill()


async def failing_calls(sandbox: Sandbox, bot: BotProcess, faults: RandomFaults, number: int) -> list[Json]:
    """Pictures while calls fail, the worker is killed thrice and the bot twice; until all are answered."""
    people, part = number // 5, number // 5
    data = pictures(number)
    faults.share = 0.1
    sent: list[Json] = []
    for round_ in range(5):
        sent += await send_pictures(sandbox, data[round_ * part : (round_ + 1) * part], people, within=8)
        if round_ in (0, 2, 4):
            kill_worker(bot)
        else:
            await bot.kill()
            await bot.start()
    await until(lambda: not Count.of(sandbox, sent).lost, PATIENCE)
    faults.share = 0.0
    return sent


@asynccontextmanager
async def full_disk(bot: BotProcess) -> AsyncIterator[None]:
    """The bot's process can write nothing to any file, as on a full disk."""
    assert bot.process is not None
    _, hard = usual = resource.prlimit(bot.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(bot.process.pid, resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(bot.process.pid, resource.RLIMIT_FSIZE, usual)


async def outage(
    sandbox: Sandbox, health: Probes, name: str, trouble: AbstractAsyncContextManager[None], seconds: float
) -> Outage:
    """Pictures while the database cannot be used; until all are answered, without a restart."""
    seed = sum(map(ord, name))
    async with trouble:
        health.now(name)
        sent = await send_pictures(sandbox, pictures(20, seed=seed), 20, within=seconds / 2)
        await asyncio.sleep(seconds / 2)
    health.now(f"after {name}")
    await until(lambda: not Count.of(sandbox, sent).lost, PATIENCE)
    await until(lambda: health.seconds_until(f"after {name}", well=True) < PATIENCE, PATIENCE)
    later = said(sandbox, sent, LATER)
    return Outage(
        Count.of(sandbox, sent),
        broke=said(sandbox, sent, texts("ru")(sentences.SOMETHING_BROKE)).total(),
        later=len(later),
        told_twice=sum(times > 1 for times in later.values()),
        noticed=health.seconds_until(name, well=False),
        over=health.seconds_until(f"after {name}", well=True),
    )


async def killed_while_locked(sandbox: Sandbox, bot: BotProcess) -> list[Json]:
    """Five pictures whose rows cannot be written, and a kill; the next start answers them."""
    async with locked(bot.folder):
        sent = await send_pictures(sandbox, pictures(5, seed=5), 5)
        await asyncio.sleep(8)  # longer than an update may go without being confirmed
        await bot.kill()
    await bot.start()
    await until(lambda: not Count.of(sandbox, sent).lost, PATIENCE)
    return sent


async def measure(number: int, folder: Path) -> Result:
    """All of it, with one stand-in and one store."""
    port = free_port()
    async with Sandbox() as sandbox:
        faults = sandbox.faults = RandomFaults()
        remember_all_calls(sandbox)
        settings = fake_settings(folder) | {"HEALTH_PORT": str(port)}
        async with running(sandbox, folder, settings) as bot, Probes(port) as health:
            sent = await failing_calls(sandbox, bot, faults, number)
            statuses = Counter(call.status for call in sandbox.calls)
            failed = sum(times for status, times in statuses.items() if status not in (200, None))
            lock = await outage(sandbox, health, "locked", locked(folder), LOCKED)
            full = await outage(sandbox, health, "full", full_disk(bot), FULL)
            killed = await killed_while_locked(sandbox, bot)
            return Result(
                failed,
                statuses.total(),
                Count.of(sandbox, sent),
                lock,
                full,
                Count.of(sandbox, killed),
            )


def outage_rows(name: str, before: str, one: Outage) -> list[Row]:
    """What is told of one outage."""
    return [
        Row(f"{name}: pictures lost", before, str(one.count.lost), "0", not one.count.lost),
        Row("  described twice", "", str(one.count.doubled), "0", not one.count.doubled),
        Row("  people told that something broke", before, str(one.broke), "0", not one.broke),
        Row("  told twice that it takes longer", "", str(one.told_twice), "0", not one.told_twice),
        Row("  s until /readyz said so", "never", f"{one.noticed:.1f}", "< 40", one.noticed < 40),
        Row("  s until it said that it is over", "", f"{one.over:.1f}", "< 20", one.over < 20),
    ]


def main(
    number: Annotated[int, typer.Option("--pictures", min=5, help="While calls fail.")] = 500,
) -> None:
    """What becomes of pictures while calls, processes, database and disk fail."""
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(number, Path(folder)))
    count, share = result.faults, result.failed / result.calls
    good = show(
        f"{number} pictures while calls fail and processes are killed; 20 in each outage of the database",
        [
            Row("calls that failed", "10 %", f"{share:.0%} of {result.calls}", "", reached=True),
            Row("pictures lost", "0", str(count.lost), "0", not count.lost),
            Row("described twice", "16 of 950", str(count.doubled), "", reached=True),
            Row(
                "  though no answer was lost", "", str(count.doubled_unasked), "0", not count.doubled_unasked
            ),
            Row("notes in place of a second copy", "", str(count.noted), "", reached=True),
            *outage_rows("locked", "", result.locked),
            *outage_rows("disk full", "30 of 30", result.full),
            Row("killed while locked: lost", "5 of 5", str(result.killed.lost), "0", not result.killed.lost),
        ],
    )
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
