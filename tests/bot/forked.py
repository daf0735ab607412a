"""``python -m tests.bot.forked``: ``python -m bot`` again and again, each time a process of its own, forked
of this one, which has imported what a bot needs: that takes two seconds of a processor.

It is asked for a start by ``{"words", "environment", "folder", "log", "errors", "ended"}``, and answers the
process id. What the process prints is added to the file ``log``, what it prints on stderr to ``errors``.
When that process is gone, its exit status, or minus the number of the signal that killed it, is in the file
``ended``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import runpy
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.warm import Warm, serve, warm


class Forked:
    """As asyncio's Process, as far as tests ask for anything."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid = pid
        self._ended = ended

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the number of the signal; None: it lives."""
        return int(self._ended.read_text()) if self._ended.exists() else None

    def send_signal(self, number: int) -> None:
        """As asyncio's: nothing for one that is gone."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        while (status := self.returncode) is None:  # noqa: ASYNC110 - another process's child
            await asyncio.sleep(0.01)
        return status


class Bots:
    """Asks the process."""

    def __init__(self, process: Warm) -> None:
        self._process = process
        self._started = 0

    def start(
        self,
        *words: str,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        errors: Path | None = None,
    ) -> Forked:
        """``python -m bot WORDS`` in that folder, with that environment alone; what it prints is added to the
        log, what it prints on stderr to ``errors``, where that is given.
        """
        self._started += 1
        ended = folder / f".ended-{self._started}"
        asked = {
            "words": words,
            "environment": dict(environment),
            **{"folder": str(folder), "log": str(log), "errors": str(errors or log), "ended": str(ended)},
        }
        return Forked(self._process.ask(asked), ended)


@contextmanager
def warm_bots() -> Iterator[Bots]:
    """The process, until the end."""
    with warm(__name__) as process:
        yield Bots(process)


def _child(asked: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    added = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, (path, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (asked["log"], added), (asked["errors"], added))
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv[1:] = asked["words"]
    status: Any = 0
    try:
        runpy.run_module("bot", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        status = left.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    os._exit(status)


def _serve() -> None:
    import bot.__main__ as commands

    commands.import_app()
    del sys.modules["bot.__main__"]  # each process runs it; what it imports stays
    files: dict[int, Path] = {}

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                part = files[pid].with_suffix(".part")
                with contextlib.suppress(FileNotFoundError):  # the test's folder is gone
                    part.write_text(str(os.waitstatus_to_exitcode(status)))
                    part.rename(files.pop(pid))

    signal.signal(signal.SIGCHLD, reap)

    def start(asked: dict[str, Any]) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until it is known where its end is told
        pid = os.fork()
        if not pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _child(asked)
        files[pid] = Path(asked["ended"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return pid

    serve(start)


if __name__ == "__main__":
    _serve()
