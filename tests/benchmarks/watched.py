"""``python -m tests.benchmarks.watched FILE ...``: ``python -m bot ...``, and which callbacks held its loop.

The file gets a JSON line for each callback of the event loop that took longer than 20 ms: when it ended (the
system's monotonic clock, s), how long it took (s), how long the processor worked on it (s), and what it was.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
import time
from pathlib import Path

LEAST = 0.02  # s


def main() -> None:
    """Run the bot in this process."""
    file = Path(sys.argv.pop(1)).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - until the end
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        started, worked = time.monotonic(), time.thread_time()
        run(handle)
        ended = time.monotonic()
        if ended - started > LEAST:
            file.write(json.dumps([ended, ended - started, time.thread_time() - worked, repr(handle)]) + "\n")

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]  # asyncio has no hook for this
    runpy.run_module("bot", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
