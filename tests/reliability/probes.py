"""``python -m tests.reliability.probes``: what the probes say of a bot from start to stop, and how soon.

It starts while Telegram does not answer, has many pictures to describe, a large export to make and a locked
database to wait for at once, then a disk that is full for a while, and is stopped with pictures in work. All
the time both probes are asked, by a process of its own. A run takes two minutes.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bot.feedback import database
from bot.feedback.store import Store
from bot.sandbox import ME, Sandbox
from tests.bot.conftest import locked
from tests.e2e.processes import BotProcess, fake_settings
from tests.reliability.faults import full_disk
from tests.reliability.harness import (
    Count,
    Probes,
    Row,
    Said,
    free_port,
    pictures,
    remember_all_calls,
    send_pictures,
    show,
    until,
)
from tests.reliability.large import Size, fill

PATIENCE = 300.0  # seconds until everything is to be answered
SOON = 10.0  # seconds within which /readyz is to say what has changed
HEALTH, READY = "/healthz", "/readyz"


@dataclass(frozen=True, slots=True)
class Phase:
    """What was asked and said in one phase of a bot's life."""

    name: str
    ready: bool  # whether it can describe
    told_after: float  # seconds until /readyz said so to the end of the phase; inf: never
    health: list[Said]
    readiness: list[Said]

    @property
    def falsely_dead(self) -> int:
        """Times that a living bot was said to stand still."""
        return sum(one.status == 503 for one in self.health)

    def milliseconds(self) -> tuple[float, float, float]:
        """How long answers took: the median, the 99th percentile, the longest."""
        took = [1000 * one.took for one in (*self.health, *self.readiness) if one.status]
        return statistics.median(took), statistics.quantiles(took, n=100)[98], max(took)


async def _filled(bot: BotProcess, captions: int) -> None:
    """Give the bot, before its start, a store with so many captions and three times as many marks."""
    url, data_dir = bot.environment["DATABASE_URL"], Path(bot.environment["DATA_DIR"])
    engine = database.create_engine(database.database_url(url))
    async with await Store.open(url, data_dir) as store:
        await fill(engine, Size(captions, 3 * captions), store.pseudonyms)
    await engine.dispose()


async def _busy(sandbox: Sandbox, folder: Path, number: int, people: int, seconds: float) -> None:
    """Pictures at once, an export, and a lock of the database for so long; until all is answered."""
    await sandbox.send_text("/export csv")
    sent = await send_pictures(sandbox, pictures(number), people)
    async with locked(folder):
        await asyncio.sleep(seconds)
    await until(lambda: sandbox.calls_of("sendDocument"), PATIENCE)
    await until(lambda: not Count.of(sandbox, sent).lost, PATIENCE)


async def measure(number: int, people: int, captions: int, seconds: float, folder: Path) -> list[Phase]:
    """All phases of one bot. ``seconds``: of its start, of the lock, and of the full disk."""
    port = free_port()
    async with Sandbox() as sandbox:
        remember_all_calls(sandbox)
        settings = fake_settings(folder) | {"HEALTH_PORT": str(port), "ADMIN_IDS": str(ME)}
        bot = BotProcess(sandbox, folder, settings)
        await _filled(bot, captions)
        telegram = sandbox.hold("getMe")
        async with Probes(port) as probes:
            expected = {}

            def now(phase: str, *, ready: bool) -> None:
                probes.now(phase)
                expected[phase] = ready

            try:
                now("starting", ready=False)
                process = await bot.launch()
                await until(lambda: telegram.arrived, 120)
                await asyncio.sleep(seconds)
                now("ready", ready=True)
                telegram.release()
                await until(lambda: probes.seconds_until("ready", well=True) < PATIENCE, 60)
                await asyncio.sleep(seconds)
                now("under load", ready=True)
                await _busy(sandbox, folder, number, people, seconds)
                now("database away", ready=False)
                async with full_disk(bot):
                    sent = await send_pictures(sandbox, pictures(10, seed=2), 10)
                    await asyncio.sleep(seconds)
                now("database back", ready=True)
                await until(lambda: not Count.of(sandbox, sent).lost, PATIENCE)
                await until(lambda: probes.seconds_until("database back", well=True) < PATIENCE, 60)
                begun = len(_lines(bot.begun))
                bot.gate.touch()
                await send_pictures(sandbox, pictures(2, seed=3), 2)
                await until(lambda: len(_lines(bot.begun)) > begun, 60)
                now("stopping", ready=False)
                process.send_signal(signal.SIGTERM)
                await process.wait()
            finally:
                if bot.process is not None and bot.process.returncode is None:
                    await bot.kill()
            return [
                Phase(
                    name,
                    ready,
                    probes.seconds_until(name, well=ready),
                    probes.said(name, HEALTH),
                    probes.said(name, READY),
                )
                for name, ready in expected.items()
            ]


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


def rows(phases: Sequence[Phase]) -> list[Row]:
    """What is told of all phases."""
    told = []
    for one in phases:
        middle, most, longest = one.milliseconds()
        before = ("", "193", "1700") if one.name == "under load" else ("", "", "")
        word = "ready" if one.ready else "not ready"
        told += [
            Row(f"{one.name}: answers", "", str(len(one.health) + len(one.readiness)), "", reached=True),
            Row(
                f"  /readyz says for good that it is {word} after, s",
                *("", f"{one.told_after:.1f}", f"< {SOON:.0f}"),
                reached=one.told_after < SOON,
            ),
            Row(
                "  /healthz says that it stands still",
                *("", str(one.falsely_dead), "0"),
                reached=not one.falsely_dead,
            ),
            Row("  ms: half of the answers", before[0], f"{middle:.0f}", "", reached=True),
            # Who asks one that does not work waits for longer.
            Row(
                "    99 in 100",
                *(before[1], f"{most:.0f}", "< 100" if one.ready else ""),
                reached=most < 100 or not one.ready,
            ),
            Row("    the longest", before[2], f"{longest:.0f}", "< 1000", reached=longest < 1000),
        ]
    return told


def main(
    number: Annotated[int, typer.Option("--pictures", help="Of all people together, at once.")] = 300,
    people: Annotated[int, typer.Option(help="How many send them.")] = 60,
    captions: Annotated[int, typer.Option(help="In the store that is exported meanwhile.")] = 20_000,
    seconds: Annotated[float, typer.Option(help="Of the lock, and of the full disk.")] = 15.0,
) -> None:
    """What the probes say of a bot from its start to its stop, and how soon."""
    with tempfile.TemporaryDirectory() as folder:
        phases = asyncio.run(measure(number, people, captions, seconds, Path(folder)))
    title = f"{number} pictures of {people} people while {captions} captions are exported"
    raise typer.Exit(0 if show(title, rows(phases)) else 1)


if __name__ == "__main__":
    typer.run(main)
