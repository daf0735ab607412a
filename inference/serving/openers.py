"""Files opened in processes of their own, so that one which costs much holds nobody up.

Every file is first given to a process that takes little time for it, which is plenty for what people send.
One that needs more is given to another process, which stands back behind all else that the machine has to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from inference.common.types import PictureError, WorkerCrashed
from inference.pictures.refusals import too_costly
from inference.serving.child import Child, ChildDied, how_it_ended
from inference.serving.protocol import Opened

logger = logging.getLogger(__name__)

# A meme takes 10 ms, twelve million pixels of a camera 65 (JPEG) to 400 (PNG, HEIF).
_QUICK = ("--seconds", "0.2", "--memory", "200000000")
_PATIENT = ("--seconds", "4", "--memory", "400000000", "--nice", "10")


class _TooCostly(Exception):  # noqa: N818
    """The file takes more than this process gives it."""


class _Opener:
    """One process, which opens one file at a time in the order in which they came."""

    def __init__(self, *arguments: str, replaced: Callable[[], None]) -> None:
        self._arguments = arguments
        self._replaced = replaced
        self._child: Child | None = None
        self._turn = asyncio.Lock()
        self._exchanging: asyncio.Task[Opened] | None = None

    async def open(self, data: bytes) -> Opened:
        """The picture.

        Raises PictureError, _TooCostly, WorkerCrashed, OSError (no process can be started).
        """
        await self._turn.acquire()
        self._exchanging = asyncio.create_task(self._exchange(data))
        self._exchanging.add_done_callback(lambda _: self._turn.release())
        # Whoever is cancelled leaves an answer behind that must be taken before the next question.
        return await asyncio.shield(self._exchanging)

    async def start(self) -> Child:
        """The process that lives."""
        if self._child is not None and self._child.dead:
            self._child = None
            self._replaced()
        if self._child is None:
            self._child = await Child.spawn("inference.serving.opener", *self._arguments)
        return self._child

    async def stop(self) -> None:
        """End it, and what it does."""
        if self._exchanging is not None:
            self._exchanging.cancel()
            await asyncio.gather(self._exchanging, return_exceptions=True)
        child, self._child = self._child, None
        if child is not None:
            await child.kill()

    async def _exchange(self, data: bytes) -> Opened:
        try:
            return await self._ask(data)
        except ChildDied:  # somebody ended it, which need not be for this file
            try:
                return await self._ask(data)
            except ChildDied as error:
                raise _crashed(str(error)) from error

    async def _ask(self, data: bytes) -> Opened:
        child = await self.start()
        await child.send({"type": "open"}, [data])
        message, attachments = await child.receive()
        if message["type"] == "opened":
            return Opened.from_dict(message, attachments[0])
        if message["type"] == "refused":
            raise PictureError(message["code"], message["sentence"])
        if message["type"] == "died":
            raise _crashed(how_it_ended(message["exit_code"]))
        raise _TooCostly


class Openers:
    """Both processes; the second one is started when it is first needed.

    ``replaced`` is called when one died and another one takes its place.
    """

    def __init__(self, replaced: Callable[[], None]) -> None:
        self._quick, self._patient = (_Opener(*how, replaced=replaced) for how in (_QUICK, _PATIENT))
        self._turn = asyncio.Lock()  # of the first one

    async def start(self) -> None:
        """Start the first one, without waiting until it is ready. Raises OSError."""
        await self._quick.start()

    async def stop(self) -> None:
        """End both. Nobody may be waiting any more."""
        await self._quick.stop()
        await self._patient.stop()

    async def open(self, data: bytes, room: asyncio.Event) -> Opened:
        """The picture in a file, when there is room for it.

        Raises PictureError, WorkerCrashed, OSError (no process can be started).
        """
        try:
            async with self._turn:
                await room.wait()
                return await self._quick.open(data)
        except _TooCostly:
            logger.info("A file of %d bytes takes long to open", len(data))
        try:
            return await self._patient.open(data)
        except _TooCostly:
            raise too_costly() from None


def _crashed(how: str) -> WorkerCrashed:
    return WorkerCrashed(f"The process that opened this picture died ({how}): send another copy of it.")
