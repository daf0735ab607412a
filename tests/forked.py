"""``python -m tests.forked``: commands, each in a fork of this process, which has imported what
takes seconds.

It is asked for a command by ``{"module": ..., "code": ..., "words": [...], "environment": {...}}``, which
stands for ``python -m MODULE WORDS`` or, with code, ``python -c CODE WORDS``, and answers what became of it:
``{"status": ..., "stdout": ..., "stderr": ...}``; a negative status is the signal that killed it. With
``"dies"``, a pattern, and ``"time"`` the command sends itself ``"by"``, a signal (no part of it can catch
SIGKILL), in the moment before it does for the n-th time what fits: ``open PATH MODE`` (the mode without b),
``os.rename FROM TO``, ``os.link FROM TO``.
"""

from __future__ import annotations

import importlib
import os
import re
import runpy
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.warm import Warm, serve, warm

_SLOW = (
    "inference.captioners.encoder_decoder.model",
    "inference.serving.local",
    "train_scripts.__main__",
    "train_scripts.feedback.promote",
    "train_scripts.training.run",
)


@dataclass(frozen=True, slots=True)
class Done:
    """`status`: the exit code, or minus the signal's number."""

    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Commands:
    """Asks the process. One command at a time."""

    def __init__(self, process: Warm) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of the process that the commands are forks of: they inherit its limits."""
        return self._process.pid

    def __call__(
        self,
        *words: object,
        module: str = "train_scripts",
        code: str = "",
        environment: Mapping[str, str] | None = None,
        dies: str = "",
        time: int = 1,
        by: signal.Signals = signal.SIGKILL,
    ) -> Done:
        """``environment``: changes of that of the tests."""
        asked = {
            "module": module,
            "code": code,
            "words": [str(word) for word in words],
            "dies": dies,
            "time": time,
            "by": by,
            "environment": dict(environment or {}),
        }
        return Done(**self._process.ask(asked))


@contextmanager
def commands() -> Iterator[Commands]:
    """The process, until the end."""
    with warm(__name__) as process:
        yield Commands(process)


def _die_at(pattern: str, time: int, by: int) -> None:
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in {"open", "os.rename", "os.link"} and re.search(
            pattern, f"{event} {arguments[0]} {arguments[1]}"
        ):
            seen += 1
            if seen == time:
                os.kill(os.getpid(), by)

    sys.addaudithook(watch)


def _child(asked: dict[str, Any], said: list[IO[bytes]]) -> None:
    os.environ.update(asked["environment"])
    for number, file in enumerate(said, start=1):
        os.dup2(file.fileno(), number)
    if asked["dies"]:
        _die_at(asked["dies"], asked["time"], asked["by"])
    sys.argv[1:] = asked["words"]
    status = 0
    try:
        if asked["code"]:
            exec(asked["code"], {"__name__": "__main__"})
        else:
            runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as left:
        status = int(left.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve() -> None:
    for name in _SLOW:
        importlib.import_module(name)
    del sys.modules["train_scripts.__main__"]  # each command runs it; what it imports stays
    # It reads where its files lie and come from when it is imported, which each command's environment tells.
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]

    def run(asked: dict[str, Any]) -> dict[str, object]:
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            said: list[IO[bytes]] = [stdout, stderr]
            sys.stdout.flush()
            child = os.fork()
            if not child:
                _child(asked, said)
            _, status = os.waitpid(child, 0)
            done: dict[str, object] = {"status": os.waitstatus_to_exitcode(status)}
            for name, file in zip(("stdout", "stderr"), said, strict=True):
                file.seek(0)
                done[name] = file.read().decode(errors="replace")
        return done

    serve(run)


if __name__ == "__main__":
    _serve()
