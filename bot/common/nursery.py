"""The one place where background tasks are born, so that none is lost, leaked or silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)


class Nursery:
    """Holds background tasks, logs what they raise, and ends them within a deadline."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str, watched: bool = False) -> asyncio.Task[Any]:
        """Run ``work`` in the background; an exception is logged under ``name``, never raised elsewhere.

        ``watched``: whoever starts it looks at how it ended, so an exception is theirs to tell.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, watched=watched))
        return task

    def _finished(self, task: asyncio.Task[Any], *, watched: bool) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not watched:
            logger.error("%s failed", task.get_name(), exc_info=error)

    async def drain(self, seconds: float) -> int:
        """Wait at most ``seconds`` for the tasks, cancel the rest; returns how many were cancelled."""
        deadline = asyncio.get_running_loop().time() + seconds
        # Tasks may start others while they finish: look again until none is left.
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        cancelled = list(self._tasks)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        return len(cancelled)
