"""A process of ours, from its start to its end: frames go to it and come from it, what it says is logged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from contextvars import Context
from typing import Self

from inference.common import processors
from inference.common.tracing import of_picture, picture_id
from inference.serving import protocol

_STOP_TIMEOUT = 5.0  # seconds that one with nothing to do has to end by itself
_PIECE = 2**18  # bytes that are handed to the pipe at once
_BUFFER = 2**20  # bytes that are taken from it ahead of whoever reads them
_LEVELS = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
_BEGINNING = re.compile(rf"({'|'.join(_LEVELS)}):([\w,-]*):")  # see in_child

Frame = tuple[protocol.Message, protocol.Attachments]


class ChildDied(Exception):  # noqa: N818
    """str() says how, for example "killed by signal 9"."""


class Child:
    """``python -m module`` with pipes. A subclass says in :meth:`heard` what it does with a frame."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("asyncio gave no pipes to a process that was asked for them")
        self.process = process
        self.dead = False
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._logger = logging.getLogger(name)
        self._inbox: asyncio.Queue[Frame | None] = asyncio.Queue()  # None: it died
        # Not of the picture for which it happened to be started.
        self._tasks = [asyncio.create_task(work, context=Context()) for work in (self._listen(), self._log())]

    @classmethod
    async def spawn(cls, module: str, *arguments: str) -> Self:
        """Start it. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_BUFFER,
            env=processors.patient(os.environ),
            start_new_session=True,  # a Ctrl+C in the terminal is the engine's to handle
        )
        return cls(process, module)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def how_it_ended(self) -> str:
        """In words that follow a colon."""
        return how_it_ended(self.process.returncode)

    async def send(self, message: protocol.Message, attachments: protocol.Attachments | None = None) -> None:
        """Hand a frame over, and whose picture it is about. One that died is noticed by its silence."""
        message = {**message, "picture": picture_id()}
        # Bit by bit, as what a pipe does not take at once is copied.
        with contextlib.suppress(ConnectionError):
            for piece in protocol.pack(message, attachments or []):
                for start in range(0, len(piece), _PIECE):
                    self._stdin.write(memoryview(piece)[start : start + _PIECE])
                    await self._stdin.drain()

    async def receive(self) -> Frame:
        """The next frame. Raises ChildDied."""
        frame = await self._inbox.get()
        if frame is None:
            self._inbox.put_nowait(None)  # it stays dead
            raise ChildDied(self.how_it_ended)
        return frame

    async def kill(self) -> None:
        """End it, and what it started, now. Returns when the process is gone."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        await self.process.wait()
        self._stdin.close()
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Let it end by itself, which it does at once unless something is broken, then kill it."""
        self._stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self.process.wait()
        await self.kill()

    def heard(self, frame: Frame) -> None:
        """Take a frame that came."""
        self._inbox.put_nowait(frame)

    def ended(self) -> None:
        """It is dead."""

    async def _listen(self) -> None:
        try:
            while True:
                self.heard(await protocol.read_async(self._stdout))
        except (EOFError, ConnectionError):
            pass
        except (ValueError, KeyError, TypeError):
            self._logger.exception("A process said something that is no answer")
            self.process.kill()
        await self.process.wait()
        self.dead = True
        self._inbox.put_nowait(None)
        self.ended()

    async def _log(self) -> None:
        level, picture = logging.WARNING, ""
        while True:
            try:
                line = await self._stderr.readline()
            except ValueError:  # a line longer than the stream's buffer, which has been thrown away
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            if begun := _BEGINNING.match(text):  # what follows without belongs to it: a traceback
                level, picture, text = _LEVELS[begun[1]], begun[2], text[begun.end() :]
            with of_picture(picture):
                self._logger.log(level, "%s", text)


def how_it_ended(returncode: int | None) -> str:
    """What an exit status says."""
    if returncode is None:
        return "still running"
    if returncode < 0:
        return f"killed by signal {-returncode}"
    return f"exit status {returncode}"
