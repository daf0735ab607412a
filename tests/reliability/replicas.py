"""``python -m tests.reliability.replicas``: two bots with one PostgreSQL database, behind a balancer.

They have many pictures at once under Telegram's limits. Then their clocks differ, a tenth of the calls fails,
one of them stands still for longer than what it holds is kept for it, and wakes; then the database's server
is stopped for a while. It needs Debian's packages `postgresql` and `faketime`. A run takes some five minutes.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import aiohttp
import psutil
import typer
from aiohttp import web

from bot.sandbox import Sandbox
from bot.sandbox.limits import RateLimits
from bot.sandbox.world import Json
from bot.texts import sentences, texts
from bot.transport.webhook import LEASE, SECRET_HEADER
from inference.common.errors import UserError
from tests.e2e.processes import BotProcess, fake_settings, running
from tests.reliability.harness import (
    Count,
    RandomFaults,
    Row,
    free_port,
    pictures,
    refused,
    remember_all_calls,
    said,
    send_pictures,
    show,
    until,
)
from tests.reliability.postgres import postgres

SKEW = 90  # seconds by which the second one's clock is ahead
FROZEN = LEASE + 20  # seconds for which the first one stands still
PATIENCE = 300.0  # seconds until everything is to be answered
_SECRET = "reliability-of-replicas"


class Balancer:
    """Passes each update on to one of the bots in turn, and to the next one where that does not answer."""

    def __init__(self) -> None:
        self.port = 0
        self.ports: list[int] = []  # of the bots
        self._turn = count()

    @property
    def url(self) -> str:
        """What Telegram is told."""
        return f"http://127.0.0.1:{self.port}/hook"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as self._session:
            app = web.Application()
            app.router.add_post("/hook", self._posted)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.port = int(runner.addresses[0][1])
                yield
            finally:
                await runner.cleanup()

    async def _posted(self, request: web.Request) -> web.Response:
        body, first = await request.read(), next(self._turn)
        headers = {SECRET_HEADER: request.headers[SECRET_HEADER], "Content-Type": "application/json"}
        for number in range(len(self.ports)):
            port = self.ports[(first + number) % len(self.ports)]
            try:
                async with self._session.post(
                    f"http://127.0.0.1:{port}/hook", data=body, headers=headers
                ) as answer:
                    return web.Response(status=answer.status)
            except (aiohttp.ClientError, TimeoutError):
                continue
        return web.Response(status=502)


def ahead(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is so many seconds ahead. Raises UserError."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise UserError("Clocks cannot be moved on this machine: install Debian's package faketime.")
    # Only the clock that tells the date: what passes, passes as fast as ever.
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"+{seconds}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of all parts."""

    skewed: Count  # pictures while both bots work
    frozen: Count  # while one stands still, and wakes
    stopped: Count  # while the server of the database is stopped
    broke: int  # people who were told then that something broke
    failed: int  # calls
    calls: int
    limited: Count  # pictures at once, when no call fails but by Telegram's limits
    refused: int  # calls of them


@contextmanager
def held_up(*bots: BotProcess) -> Iterator[None]:
    """While the block runs, pictures wait inside the workers of these bots."""
    for bot in bots:
        bot.gate.touch()
    try:
        yield
    finally:
        for bot in bots:
            bot.gate.unlink()


def _stop(bot: BotProcess, number: signal.Signals) -> None:
    """SIGSTOP or SIGCONT to the bot and all of its processes."""
    assert bot.process is not None
    process = psutil.Process(bot.process.pid)
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # what opens a file lives for a moment
            one.send_signal(number)


async def _answered(sandbox: Sandbox, sent: Sequence[Json]) -> None:
    await until(lambda: not Count.of(sandbox, sent).lost, PATIENCE)


async def measure(number: int, seconds_stopped: float, folder: Path) -> Result:
    """All parts, with one stand-in and one database."""
    part, data = number // 3, pictures(number)
    balancer = Balancer()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres())
        sandbox = await stack.enter_async_context(Sandbox())
        faults = sandbox.faults = RandomFaults()
        remember_all_calls(sandbox)
        await stack.enter_async_context(balancer.serving())
        bots = []
        for name, clock in (("first", {}), ("second", ahead(SKEW))):
            (folder / name).mkdir()
            port = free_port()
            balancer.ports.append(port)
            settings = {
                **fake_settings(folder / name),
                **clock,
                "DATABASE_URL": server.url,
                "WEBHOOK_URL": balancer.url,
                "WEBHOOK_SECRET": _SECRET,
                "WEBHOOK_PORT": str(port),
                "BOT_REPLICAS": "2",
            }
            bots.append(await stack.enter_async_context(running(sandbox, folder / name, settings)))

        # First, since a bot that was refused something lets nothing burst for an hour.
        sandbox.limits = RateLimits()
        limited = await send_pictures(sandbox, pictures(2 * part, seed=4), 2 * part)
        await _answered(sandbox, limited)
        beyond, sandbox.limits = refused(sandbox), None
        faults.share = 0.1

        # In work for longer than between two looks for what a dead bot left.
        with held_up(*bots):
            skewed = await send_pictures(sandbox, data[:part], part, within=LEASE / 3)
        await _answered(sandbox, skewed)

        sending = asyncio.create_task(send_pictures(sandbox, data[part : 2 * part], part, within=20))
        with held_up(bots[0]):
            await asyncio.sleep(10)
            _stop(bots[0], signal.SIGSTOP)
        await asyncio.sleep(FROZEN)
        _stop(bots[0], signal.SIGCONT)
        frozen = await sending
        await _answered(sandbox, frozen)

        await server.stop()
        stopped = await send_pictures(sandbox, data[2 * part :], part, within=seconds_stopped / 2)
        await asyncio.sleep(seconds_stopped / 2)
        await server.start()
        await _answered(sandbox, stopped)
        await asyncio.sleep(5)  # for what comes although it should not

        statuses = [call.status for call in sandbox.calls if call.status is not None]
        return Result(
            Count.of(sandbox, skewed),
            Count.of(sandbox, frozen),
            Count.of(sandbox, stopped),
            said(sandbox, stopped, texts("ru")(sentences.SOMETHING_BROKE)).total(),
            sum(status != 200 for status in statuses),
            len(statuses),
            Count.of(sandbox, limited),
            beyond,
        )


def rows(name: str, before: str, one: Count) -> list[Row]:
    """What is told of one part."""
    return [
        Row(f"{name}: pictures lost of {one.pictures}", "", str(one.lost), "0", not one.lost),
        Row("  described twice", before, str(one.doubled), "", reached=True),
        Row("  though no answer was lost", "", str(one.doubled_unasked), "0", not one.doubled_unasked),
        Row("  notes in place of a second copy", "", str(one.noted), "", reached=True),
    ]


def main(
    number: Annotated[int, typer.Option("--pictures", min=3, help="In all three parts together.")] = 150,
    seconds_stopped: Annotated[float, typer.Option(help="For which the server is stopped.")] = 60,
) -> None:
    """Two bots with one PostgreSQL database: clocks that differ, one that stands still, a stopped server."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = asyncio.run(measure(number, seconds_stopped, Path(folder)))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    share = result.refused / result.limited.pictures
    good = show(
        f"{number} pictures, two bots, {result.failed / result.calls:.0%} of {result.calls} calls failed",
        [
            Row(
                f"{result.limited.pictures} pictures at once under Telegram's limits: lost",
                *("", str(result.limited.lost), "0"),
                reached=not result.limited.lost,
            ),
            Row("  refused requests a picture", "", f"{share:.3f}", "< .05", share < 0.05),
            *rows(f"clocks {SKEW} s apart", "24 of 100", result.skewed),
            *rows(f"one frozen for {FROZEN:.0f} s", "3 of 40", result.frozen),
            *rows(f"server stopped for {seconds_stopped:.0f} s", "", result.stopped),
            Row("  people told that something broke", "51 of 96", str(result.broke), "0", not result.broke),
        ],
    )
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
