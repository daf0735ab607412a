"""Who asks whether the bot is alive, ready, and what it does: ``/healthz``, ``/readyz`` and ``/metrics``.

They are answered by a thread with an event loop of its own, from what the bot's loop noted last: at once also
where that one is late, or stands still.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from bot.common.listening import listen

PERIOD = 0.25  # seconds between two notes
ALIVE_WITHIN = 30.0  # seconds: a loop that noted nothing for longer stands still, and is better started anew
READY_WITHIN = 5.0  # seconds: an older note says nothing of the present


@dataclass(frozen=True, slots=True)
class Note:
    """How the bot was at some moment."""

    ready: bool
    details: dict[str, Any]  # JSON-able
    moment: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds."""
        return time.monotonic() - self.moment


class Pulse:
    """Notes again and again how the bot is: ``look`` says whether it is ready, and the details.

    ``late`` is told how many seconds later than it was due the loop came round.
    """

    def __init__(
        self, look: Callable[[], tuple[bool, dict[str, Any]]], late: Callable[[float], None]
    ) -> None:
        self._look = look
        self._late = late
        self.note = Note(*look())

    async def beat(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PERIOD
            await asyncio.sleep(PERIOD)
            self._late(max(0.0, loop.time() - due))
            self.note = Note(*self._look())


@asynccontextmanager
async def probes(host: str, port: int, pulse: Pulse, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Answer at this address while the block runs, and let ``pulse`` beat.

    Raises OSError, whose text says what to do, when nothing can listen there.
    """
    stop = asyncio.Event()  # of the thread's loop
    listening: Future[asyncio.AbstractEventLoop] = Future()
    thread = threading.Thread(
        target=_run, args=(_app(pulse, registry), host, port, listening, stop), name="probes", daemon=True
    )
    thread.start()
    loop = await asyncio.wrap_future(listening)
    beating = asyncio.create_task(pulse.beat())
    try:
        yield
    finally:
        beating.cancel()
        loop.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(thread.join)


def _run(
    app: web.Application,
    host: str,
    port: int,
    listening: Future[asyncio.AbstractEventLoop],
    stop: asyncio.Event,
) -> None:
    """The thread's life. ``listening`` gets its loop, or why it cannot listen."""

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None)
        await listen(runner, host, port, what="The probes", remedy="choose another HEALTH_PORT")
        try:
            listening.set_result(asyncio.get_running_loop())
            await stop.wait()
        finally:
            await runner.cleanup()

    try:
        asyncio.run(serve())
    except BaseException as error:
        if listening.done():
            raise
        listening.set_exception(error)


def _app(pulse: Pulse, registry: CollectorRegistry) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        age = pulse.note.age
        return _said(age < ALIVE_WITHIN, ("alive", "standing still"), seconds_since_last_note=round(age, 3))

    async def readyz(_: web.Request) -> web.Response:
        note = pulse.note
        late = note.age >= READY_WITHIN
        return _said(note.ready and not late, ("ready", "not ready"), **note.details, late=late)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    return app


def _said(good: bool, words: tuple[str, str], **details: Any) -> web.Response:
    status, word = (200, words[0]) if good else (503, words[1])
    return web.json_response({"status": word, **details}, status=status)
