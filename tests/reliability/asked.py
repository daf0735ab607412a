"""``python -m tests.reliability.asked PORT``: asks the probes at this port, as what watches a bot does.

Each of them ten times a second, whether the answers before are there or not, by a connection of its own. A
line of JSON for each: which one, when it was asked (the system's monotonic clock, s), how long the answer
took (s), and its HTTP status; 0: there was none.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count

import aiohttp

PATHS = ("/healthz", "/readyz")
PERIOD = 0.1  # seconds
PATIENCE = 5.0  # seconds


async def ask(port: int) -> None:
    """For ever."""
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
        ) as session,
        asyncio.TaskGroup() as asking,
    ):

        async def one(path: str) -> None:
            began = time.monotonic()
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            print(json.dumps([path, began, time.monotonic() - began, status]), flush=True)

        first = time.monotonic()
        for number in count(1):
            for path in PATHS:
                asking.create_task(one(path))
            await asyncio.sleep(first + number * PERIOD - time.monotonic())


if __name__ == "__main__":
    asyncio.run(ask(int(sys.argv[1])))
