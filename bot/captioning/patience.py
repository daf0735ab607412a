"""A database that cannot be used just now is asked again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from bot.feedback.database import StoreError

logger = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

STORE_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between tries to write into the database


async def insist(
    ask: Callable[_Arguments, Awaitable[_Result]], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """What a method of the store returns; it is called again while the database cannot be used.

    Raises StoreError when that lasts longer than STORE_PAUSES.
    """
    for pause in STORE_PAUSES:
        try:
            return await ask(*args, **kwargs)
        except StoreError as error:
            logger.warning("Trying again in %.0f s: %s", pause, error)
        await asyncio.sleep(pause)
    return await ask(*args, **kwargs)
