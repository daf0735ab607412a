"""A database that is away for a while is asked again until it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import TypeVar

from bot.feedback.database import StoreAway

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

STORE_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between tries; the last one again and again
TOLD_AFTER = 10.0  # seconds


async def once_stored(
    ask: Callable[[], Awaitable[_Result]],
    tell: Callable[[], Awaitable[None]] | None = None,
    *,
    told_after: float | None = None,
) -> _Result:
    """What ``ask`` returns, which is called again while it raises StoreAway.

    ``tell`` is called once, when that has lasted ``told_after`` seconds (None: TOLD_AFTER).
    """
    loop = asyncio.get_running_loop()
    tell_at = loop.time() + (TOLD_AFTER if told_after is None else told_after)
    pauses = chain(STORE_PAUSES, repeat(STORE_PAUSES[-1]))
    while True:
        try:
            return await ask()
        except StoreAway as error:
            pause = next(pauses)
            logger.warning("Trying again in %.0f s: %s", pause, error)
        if tell is not None and loop.time() >= tell_at:
            await tell()
            tell = None
        await asyncio.sleep(pause)
