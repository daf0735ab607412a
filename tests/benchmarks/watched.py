"""``python -m tests.benchmarks.watched FILE ...``: ``python -m bot ...``, and what held its event loop.

The file gets a JSON line for each time that the loop came round more than 20 ms late: when it did (the
system's monotonic clock, s), how late (s), how long the processor worked meanwhile (s), and what it was at.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import runpy
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType

from bot.common import loops

PERIOD = 0.01  # s between two looks: more of them would be a good part of what the process does
LEAST = 0.02  # s


class Watch:
    """Comes round in the loop every few milliseconds; a thread looks at what it is at when it does not."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8", buffering=1)
        self._due = float("inf")
        self._worked = 0.0
        self._at = ""

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch this loop, which the calling thread is about to run."""
        looking = threading.get_ident()
        threading.Thread(target=self._look, args=(looking,), daemon=True).start()
        loop.call_soon(self._come_round, loop)

    def _come_round(self, loop: asyncio.AbstractEventLoop) -> None:
        now, worked = time.monotonic(), time.thread_time()
        if (late := now - self._due) > LEAST:
            self._file.write(json.dumps([now, late, worked - self._worked, self._at]) + "\n")
        self._at, self._worked, self._due = "", worked, now + PERIOD
        loop.call_later(PERIOD, self._come_round, loop)

    def _look(self, thread: int) -> None:
        while True:
            time.sleep(PERIOD)
            if time.monotonic() > self._due + PERIOD and not self._at:
                self._at = _place(sys._current_frames()[thread])


def _place(frame: FrameType) -> str:
    """Where a thread is, by its innermost functions."""
    calls = itertools.islice(traceback.walk_stack(frame), 5)
    return " < ".join(
        f"{call.f_code.co_name} ({Path(call.f_code.co_filename).name}:{line})" for call, line in calls
    )


def main() -> None:
    """Run the bot in this process."""
    watch, new = Watch(Path(sys.argv.pop(1))), loops.new_event_loop

    def watched() -> asyncio.AbstractEventLoop:
        loop = new()
        watch.begin(loop)
        return loop

    loops.new_event_loop = watched
    runpy.run_module("bot", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
