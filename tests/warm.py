"""A process that has imported what takes seconds, and answers lines of JSON with lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Warm:
    """Asks it, one thing at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of the process: what it forks inherits its limits."""
        return self._process.pid

    def ask(self, asked: object) -> Any:
        """What it answers to this, both JSON-able."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def warm(module: str) -> Iterator[Warm]:
    """``python -m MODULE``, which calls :func:`serve`, until the end."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", module],  # -u: a fork of it may end without emptying its buffers
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Warm(process)
    finally:
        process.kill()
        process.communicate()


def serve(answer: Callable[[Any], object]) -> None:
    """Within that process: answer all that is asked."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
