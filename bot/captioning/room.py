"""Room for bytes in memory: whoever wants to hold some waits until there is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Room:
    """``size`` bytes, given out in the order in which they were asked for: a large file is not passed by for
    ever by small ones. One that is larger than all of it gets all of it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, wanted: int) -> AsyncIterator[None]:
        """Room for so many bytes while the block runs."""
        wanted = min(wanted, self._size)
        await self._take(wanted)
        try:
            yield
        finally:
            self._give(wanted)

    async def _take(self, wanted: int) -> None:
        if not self._waiting and wanted <= self._free:
            self._free -= wanted
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given in this very moment
                self._give(wanted)
            else:
                with suppress(ValueError):
                    self._waiting.remove((wanted, turn))
                self._give(0)  # who stood behind may fit now
            raise

    def _give(self, freed: int) -> None:
        self._free += freed
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self._free -= wanted
            turn.set_result(None)
