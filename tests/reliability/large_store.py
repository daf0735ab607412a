"""``python -m tests.reliability.large_store``: how long people wait where much is stored.

Fills a store with many captions and marks, and measures there what people wait for, while somebody marks
captions all the time. The store lies in a folder of its own that goes at the end, or in an empty PostgreSQL
database (`--database`). `--captions 1000000 --marks 3000000` is the size that docs/operating.md speaks of.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import psutil
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import InstrumentedAttribute

from bot.feedback import database
from bot.feedback.database import NotStored
from bot.feedback.export import export
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, User
from bot.feedback.upgrade import alembic_config, migrate
from bot.operating.page.door import Door
from bot.operating.page.server import RANGES, serve_page
from tests.reliability.harness import free_port
from tests.reliability.large import Size, fill
from tests.reliability.looking import Looking

_BYTES_A_CAPTION = 8_000  # of disk: its rows, those about it, and an export of them
_MARKS = 300  # that are pressed one after the other
_ERASED = 5  # people
_PASSWORD = "correct horse battery"
_DETAILS: dict[str, Any] = {"database": True, "polling": True, "trouble": None, "engine": True}
BEFORE = {  # SQLite, 1,000,000 captions and 3,000,000 marks, before anything was done about it
    "A mark: median": "8 ms",
    "/stats": "22 s",
    "/forget, one with 50 pictures": "52 s (10 pictures)",
    "/forget: a mark meanwhile, the longest": "52 s",
    "A mark: the longest of all": "5 s, /forget aside",
}


class Memory(Looking):
    """Looks at how much memory this process has, ten times a second."""

    def __init__(self) -> None:
        super().__init__(0.1)
        self._seen: list[int] = []  # bytes
        self._process = psutil.Process()

    def look(self) -> None:
        self._seen.append(self._process.memory_info().rss)

    @property
    def growth(self) -> int:
        """Bytes that there were more at any later time than when a quarter of it was over."""
        later = self._seen[len(self._seen) // 4 :]
        return max(later, default=0) - next(iter(later), 0)


@dataclass
class Marks:
    """Somebody marks captions."""

    store: Store
    people: range  # numbers; some may be erased, and are passed over
    captions: range
    seconds: list[float] = field(default_factory=list)

    async def press(self) -> None:
        """One mark."""
        started = time.perf_counter()
        with suppress(NotStored):
            await self.store.marks.rate(
                random.choice(self.people), random.choice(self.captions), random.randint(1, 5)
            )
        self.seconds.append(time.perf_counter() - started)

    @asynccontextmanager
    async def pressed(self) -> AsyncIterator[list[float]]:
        """All the time; the seconds that each took."""
        ended, before = asyncio.Event(), len(self.seconds)
        seconds: list[float] = []

        async def go_on() -> None:
            while True:  # once at least
                await self.press()
                if ended.is_set():
                    return
                await asyncio.sleep(0.005)

        pressing = asyncio.create_task(go_on())
        try:
            yield seconds
        finally:
            ended.set()
            await pressing
            seconds += self.seconds[before:]


@dataclass
class Findings:
    """What was measured, by what it is."""

    said: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """How long it takes; of several of one name the longest."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.said[name] = f"{max(seconds, float(self.said.get(name, '0').split()[0])):.2f} s"

    def marks(self, name: str, seconds: list[float]) -> None:
        """The longest of them."""
        self.said[f"{name}: a mark meanwhile, the longest"] = f"{max(seconds) * 1000:.0f} ms"


async def measure(url: str, data_dir: Path, size: Size, upgraded_from: str) -> Findings:
    """Fill the store if it is empty, and measure."""
    found = Findings()
    address = database.database_url(url)
    engine = database.create_engine(address)
    async with await Store.open(url, data_dir) as store:
        pseudonyms = store.pseudonyms
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade, upgraded_from)
    # Of the older schema: it counts nothing as it happens, so that each row is written once.
    if not await _highest(engine, CaptionRow.id):
        await fill(engine, size, pseudonyms)
    await _look_after(engine)
    with found.timed(f"The upgrade from {upgraded_from}"):
        await migrate(address)
    await _look_after(engine)
    people = range(1, await _highest(engine, User.id) + 1)
    captions = range(1, await _highest(engine, CaptionRow.id) + 1)
    await engine.dispose()
    async with await Store.open(url, data_dir) as store:
        await _measure(store, Marks(store, people, captions), found, data_dir / "export")
    return found


async def _measure(store: Store, marks: Marks, found: Findings, out: Path) -> None:
    for _ in range(_MARKS):
        await marks.press()
    found.said["A mark: median"] = f"{statistics.median(marks.seconds) * 1000:.1f} ms"
    for _ in range(3):
        async with marks.pressed() as meanwhile:
            with found.timed("/stats"):
                await store.reports.stats()
    found.marks("/stats", meanwhile)
    async with marks.pressed() as meanwhile, _page(store) as read:
        for days in RANGES:
            for _ in range(3):
                with found.timed(f"The operator's page, {days} days"):
                    await read(days)
    found.marks("The operator's page", meanwhile)
    async with marks.pressed() as meanwhile:
        with found.timed("What was counted, put together"):
            await store.tallies.fold()
    found.marks("Put together", meanwhile)
    async with marks.pressed() as meanwhile:
        for person in random.sample(marks.people, _ERASED):
            with suppress(NotStored), found.timed("/forget, one with 50 pictures"):
                await store.erasure.erase(person)
    found.marks("/forget", meanwhile)
    async with marks.pressed() as meanwhile:
        with Memory() as memory:
            started = time.perf_counter()
            report = await export(store, out, format="csv")
            seconds = time.perf_counter() - started
    found.said["An export: rows a second"] = f"{report.rows / seconds:,.0f}"
    found.said["An export: memory that it takes more and more"] = f"{memory.growth / 1e6:.0f} MB"
    found.marks("An export", meanwhile)
    found.said["A mark: the longest of all"] = f"{max(marks.seconds) * 1000:.0f} ms"


@asynccontextmanager
async def _page(store: Store) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Reads the operator's page over HTTP, from the form of the password on."""
    port = free_port()
    jar = aiohttp.CookieJar(unsafe=True)  # for an address by number
    async with (
        serve_page(store, lambda: (True, _DETAILS), Door(_PASSWORD), "127.0.0.1", port),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar, raise_for_status=True) as session,
    ):
        await session.post("/login", data={"password": _PASSWORD})

        async def read(days: int) -> None:
            async with session.get("/", params={"days": days}, allow_redirects=False) as answer:
                assert f"The last {days} days" in await answer.text()

        yield read


async def _look_after(engine: AsyncEngine) -> None:
    """What PostgreSQL does by itself within minutes: look at the tables, and how large they are."""
    if engine.dialect.name == "postgresql":
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.exec_driver_sql("VACUUM ANALYZE")


async def _highest(engine: AsyncEngine, number: InstrumentedAttribute[int]) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.max(number))) or 0


def _downgrade(connection: Connection, revision: str) -> None:
    from alembic import command

    configuration = alembic_config()
    configuration.attributes["connection"] = connection
    command.downgrade(configuration, revision)


def table(found: Findings) -> Table:
    """A row for each, and what it was before where that is known."""
    made = Table("", "now", "before, SQLite", title="What people wait for")
    for name, said in found.said.items():
        made.add_row(name, said, BEFORE.get(name, ""))
    return made


def main(
    captions: Annotated[int, typer.Option(help="How many to make.", min=1000)] = 20_000,
    marks: Annotated[int, typer.Option(help="How many to make.", min=1000)] = 60_000,
    *,
    database_url: Annotated[
        str | None, typer.Option("--database", help="An empty PostgreSQL database, which stays filled.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Make the store there, and leave it; one that is there is measured.")
    ] = None,
    upgraded_from: Annotated[str, typer.Option(help="The schema whose upgrade is measured.")] = "0015",
) -> None:
    """How long people wait where much is stored."""
    with tempfile.TemporaryDirectory(prefix="large-store-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(place).free < captions * _BYTES_A_CAPTION:
            raise typer.BadParameter(
                f"{captions} captions need {captions * _BYTES_A_CAPTION / 1e9:.0f} GB of disk; name another "
                "place with --folder, or make fewer."
            )
        url = database_url or f"sqlite:///{place}/bot.db"
        found = asyncio.run(measure(url, place / "data", Size(captions, marks), upgraded_from))
    Console(width=110).print(table(found))


if __name__ == "__main__":
    typer.run(main)
