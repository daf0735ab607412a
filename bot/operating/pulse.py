"""Whether the event loop comes round, and how late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PERIOD = 0.25  # seconds


async def watch_loop(late: Callable[[float], None]) -> None:
    """Tell how many seconds later than it was due the loop does something, again and again. For ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        late(max(0.0, loop.time() - due))
