"""``python -m tests.train_scripts.reproduce.forked``: commands of `train_scripts`, each in a fork of this
process, which has imported what takes seconds.

Each line of its input is a command as JSON, ``{"words": [...], "environment": {...}}``, each line it prints
what became of it: ``{"status": ..., "output": ...}``; a negative status is the signal that killed it. With
``"dies"``, a pattern, and ``"time"`` the command kills itself (SIGKILL, which no part of it can catch) in the
moment before it does for the n-th time what fits: ``open PATH MODE`` (the mode without b),
``os.rename FROM TO``, ``os.link FROM TO``.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_SLOW = (
    "inference.captioners.encoder_decoder.model",
    "inference.serving.local",
    "train_scripts.feedback.promote",
    "train_scripts.training.run",
)
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Done:
    """`status`: the exit code, or minus the signal's number."""

    status: int
    output: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Commands:
    """Asks the process behind the pipes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.environment: dict[str, str] = {}  # of the next ones, besides that of the process

    def __call__(self, *words: object, dies: str = "", time: int = 1) -> Done:
        assert self._process.stdin and self._process.stdout
        asked = {
            "words": [str(word) for word in words],
            "dies": dies,
            "time": time,
            "environment": self.environment,
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Done(**json.loads(self._process.stdout.readline()))


@contextmanager
def commands(**environment: str) -> Iterator[Commands]:
    """The process, until the end; its environment with these changes."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Commands(process)
    finally:
        process.kill()
        process.communicate()


def _die_at(pattern: str, time: int) -> None:
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in {"open", "os.rename", "os.link"} and re.search(
            pattern, f"{event} {arguments[0]} {arguments[1]}"
        ):
            seen += 1
            if seen == time:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _child(asked: dict[str, Any], output: IO[bytes]) -> None:
    from train_scripts.__main__ import app

    os.environ.update(asked["environment"])
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    if asked["dies"]:
        _die_at(asked["dies"], asked["time"])
    status = 0
    try:
        app(asked["words"], prog_name="python -m train_scripts")
    except SystemExit as left:
        status = int(left.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve() -> None:
    for module in _SLOW:
        importlib.import_module(module)

    for line in sys.stdin:
        with tempfile.TemporaryFile() as output:
            sys.stdout.flush()
            child = os.fork()
            if not child:
                _child(json.loads(line), output)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            text = output.read().decode(errors="replace")
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "output": text}), flush=True)


if __name__ == "__main__":
    _serve()
