"""Pictures in, captions out, without blocking the event loop and without dying of a bad picture.

The models live in a worker process (worker.py). The engine queues what comes in, hands it over in small
batches, and replaces a worker that died or hangs. Torch is never imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from inference.checkpoints.models import MissingModel, ModelInfo, checkpoint_hash, list_models, missing_models
from inference.checkpoints.names import ModelName
from inference.common import processors
from inference.common.types import (
    Caption,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureError,
    PictureTimeout,
    Version,
    WorkerCrashed,
)
from inference.serving import protocol
from inference.serving.program import program

logger = logging.getLogger(__name__)
worker_logger = logging.getLogger("inference.serving.worker")

_STOP_TIMEOUT = 5.0  # seconds an idle worker has to end by itself
_PIECE = 2**18  # bytes that are handed to the pipe at once
_SWAP_TIME = 2.0  # seconds for which a model that was there may be gone: its folder is being replaced
_SWAP_PAUSE = 0.05  # seconds between two looks at it
_LEVELS = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How much is accepted, how long anything may take, and what runs in the worker."""

    model: str = "meme-small"  # loaded at the start, used where no other is named
    models_dir: Path = Path("checkpoints")
    queue_size: int = 64  # pictures waiting or in work; one more is EngineBusy
    batch_size: int = 4  # pictures at most that go through the model together
    picture_timeout: float = 60.0  # seconds for a batch once its model is there, or for a picture alone
    start_timeout: float = 120.0  # seconds for the worker's start and a model's loading
    threads: int | None = None  # of the worker's processor work; None = as many as it may use processors
    loaded_models: int = 2  # in the worker's memory at once; the one that was used longest ago leaves first
    captioner: str = (
        "inference.captioners.captioner:load_captioner"  # module:function(name, models_dir, *, threads)
    )


@dataclass(slots=True, eq=False)
class _Request:
    data: bytes
    model: str
    checkpoint: str  # the weights that the folder held when the picture came
    options: DecodingOptions | None
    answer: asyncio.Future[Caption]
    retried: bool = False  # its batch broke down: it is tried once more, alone


class _WorkerDied(Exception):  # noqa: N818
    """str() says how, for example "killed by signal 9"."""


class _DiedLoading(_WorkerDied):
    """It had not begun with the pictures: the model was being loaded."""


@dataclass(slots=True, eq=False)
class _Worker:
    """One worker process, from its start to its end."""

    process: asyncio.subprocess.Process
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    died: asyncio.Event  # set when the process has ended
    model: str  # the default one
    ready: bool = False  # it was able to load the default model when it last had to
    dead: bool = False
    _inbox: asyncio.Queue[protocol.Message | None] = field(default_factory=asyncio.Queue)  # None: it died
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def start(cls, settings: EngineSettings, died: asyncio.Event) -> Self:
        """Spawn the process and ask it to load the default model, without waiting for that."""
        arguments = ["--captioner", settings.captioner, "--models-dir", str(settings.models_dir)]
        arguments += ["--loaded-models", str(settings.loaded_models)]
        arguments += ["--threads", str(settings.threads or processors.available())]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inference.serving.worker",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=processors.patient(os.environ),
            start_new_session=True,  # a Ctrl+C in the terminal is the engine's to handle
        )
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("asyncio gave no pipes to a process that was asked for them")
        worker = cls(process, process.stdin, process.stdout, process.stderr, died, settings.model)
        worker._tasks = [asyncio.create_task(worker._listen()), asyncio.create_task(worker._log())]
        await worker._send({"type": "load", "model": settings.model})
        logger.info("Inference worker started, process %d", process.pid)
        return worker

    async def caption(
        self, batch: list[_Request], *, start_timeout: float, picture_timeout: float
    ) -> list[protocol.Message]:
        """The worker's results, in the batch's order.

        Raises _WorkerDied, ModelNotLoaded (also when `start_timeout` has passed), or TimeoutError when the
        pictures took longer than `picture_timeout`.
        """
        message: protocol.Message = {
            "type": "caption",
            "model": batch[0].model,
            "checkpoint": batch[0].checkpoint,
            "options": batch[0].options.to_dict() if batch[0].options else None,
        }
        default = batch[0].model == self.model
        try:
            async with asyncio.timeout(start_timeout):
                await self._send(message, [request.data for request in batch])
                await self._answer("begun")
        except ModelNotLoaded:
            self.ready = self.ready and not default
            raise
        except TimeoutError as error:
            sentence = f"The model {batch[0].model} was not loaded within {start_timeout:g} seconds"
            raise ModelNotLoaded(f"{sentence}: try again later.") from error
        except _WorkerDied as error:
            raise _DiedLoading(str(error)) from error
        self.ready = self.ready or default
        async with asyncio.timeout(picture_timeout):
            done = await self._answer("done")
        results: list[protocol.Message] = done["results"]
        return results

    async def kill(self) -> None:
        """End it now. Returns when the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self._gone()

    async def stop(self) -> None:
        """Let it end by itself, which it does at once unless something is broken, then kill it."""
        self.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self.process.wait()
        await self.kill()

    async def _send(self, message: protocol.Message, attachments: list[bytes] | None = None) -> None:
        # Bit by bit, as what a pipe does not take at once is copied. A worker that died is noticed by its
        # silence.
        with contextlib.suppress(ConnectionError):
            for piece in protocol.pack(message, attachments or []):
                for start in range(0, len(piece), _PIECE):
                    self.stdin.write(memoryview(piece)[start : start + _PIECE])
                    await self.stdin.drain()

    async def _answer(self, kind: str) -> protocol.Message:
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)  # it stays dead
            raise _WorkerDied(_how_it_ended(self.process.returncode))
        if message["type"] == "not_loaded":
            raise ModelNotLoaded(message["sentence"])
        if message["type"] != kind:
            raise _WorkerDied(f"answer {message['type']!r} where {kind!r} was due")
        return message

    async def _listen(self) -> None:
        try:
            while True:
                message, _ = await protocol.read_async(self.stdout)
                if message["type"] == "loaded":
                    self.ready = True
                elif message["type"] == "not_loaded" and message["request"] == "load":
                    logger.error("%s", message["sentence"])
                else:
                    self._inbox.put_nowait(message)
        except (EOFError, ConnectionError):
            pass
        except (ValueError, KeyError, TypeError):
            logger.exception("The inference worker said something that is no answer")
            self.process.kill()
        await self.process.wait()
        self.dead = True
        self._inbox.put_nowait(None)
        self.died.set()

    async def _log(self) -> None:
        level = logging.WARNING
        while True:
            try:
                line = await self.stderr.readline()
            except ValueError:  # a line longer than the stream's buffer, which has been thrown away
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            name, separator, rest = text.partition(":")
            if separator and name in _LEVELS:
                level, text = _LEVELS[name], rest  # what follows without a level belongs to it: a traceback
            worker_logger.log(level, "%s", text)

    async def _gone(self) -> None:
        await self.process.wait()
        self.stdin.close()
        await asyncio.gather(*self._tasks)


class Engine:
    """The way to a caption for everybody who is not the worker::

        async with Engine(EngineSettings()) as engine:
            caption = await engine.caption(Path("meme.jpg").read_bytes())

    Pictures are answered in the order they came in, except that a picture whose model and options equal the
    first one's joins its batch. A lone picture never waits for company.

    A model's folder may be replaced at any time. Pictures that came before are described by the weights that
    are in memory, those that come later by the new ones; if these cannot be loaded, the old ones go on.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self._queue: deque[_Request] = deque()
        self._open: set[_Request] = set()
        self._wake = asyncio.Event()  # something for the dispatcher: a request, or a worker that died
        self._worker: _Worker | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._arriving = asyncio.Lock()
        self._known: set[str] = set()  # models that were there
        self._hashing = threading.Lock()  # who comes second finds the hash made

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the worker; pictures are taken at once, while it still loads its model.

        Raises UnknownModel when the default model's checkpoint is not there.
        """
        await asyncio.to_thread(self.checkpoint)  # hashed now, so that asking later does not block the loop
        await self._live_worker()
        self._dispatcher = asyncio.create_task(self._dispatch())

    async def stop(self) -> None:
        """End the worker. Whoever still waits for a caption gets an EngineError."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)
            self._dispatcher = None
        _fail(self._open, EngineError("The engine is stopping: send the picture again later."))
        self._queue.clear()
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None

    async def caption(
        self, data: bytes, *, options: DecodingOptions | None = None, model: str | None = None
    ) -> Caption:
        """Describe one picture, given as the bytes of its file.

        `options`: None = those the model was made for. `model`: None = the default one.
        Raises PictureError (not a picture that can be read), EngineBusy (queue full), PictureTimeout,
        WorkerCrashed, UnknownModel, ModelNotLoaded, or a plain EngineError (the captioner failed on this
        picture, the engine stops).
        A caller that is cancelled gives its place in the queue back.
        """
        model = model or self.settings.model
        async with self._arriving:  # a lock is fair: the pictures stay in their order
            checkpoint = await asyncio.to_thread(self.checkpoint, model)
        if self._dispatcher is None:
            raise EngineError("The engine is not running: start it first.")
        if len(self._open) >= self.settings.queue_size:
            raise EngineBusy(
                f"{len(self._open)} pictures are waiting already: send this one again in a few minutes."
            )
        request = _Request(data, model, checkpoint, options, asyncio.get_running_loop().create_future())
        self._open.add(request)
        self._queue.append(request)
        self._wake.set()
        try:
            return await request.answer
        finally:
            self._open.discard(request)
            request.data = b""  # its batch may be remembered until the next one
            with contextlib.suppress(ValueError):
                self._queue.remove(request)

    def checkpoint(self, model: str | None = None) -> str:
        """sha256 of the weights (default: the default model's), read from the folder, not from the worker.

        Blocking: the first call for a large file takes a moment, and a folder that is just being replaced is
        waited for. May be called in any thread. Raises UnknownModel, or EngineError when the file cannot be
        read.
        """
        name = model or self.settings.model
        parsed = ModelName.parse(name)
        deadline = time.monotonic() + (_SWAP_TIME if name in self._known else 0.0)
        while True:
            try:
                with self._hashing:
                    found = checkpoint_hash(self.settings.models_dir, parsed)
            except EngineError:
                if time.monotonic() >= deadline:
                    self._known.discard(name)
                    raise
                time.sleep(_SWAP_PAUSE)
            else:
                self._known.add(name)
                return found

    def version(self, model: str | None = None) -> Version:
        """What this model's captions (default: the default model's) come from. As :meth:`checkpoint`."""
        return Version(self.checkpoint(model), program())

    def models(self) -> list[ModelInfo]:
        """The models there are, by name. Blocking, as :meth:`checkpoint` is."""
        with self._hashing:
            return list_models(self.settings.models_dir)

    def missing(self) -> list[MissingModel]:
        """The models that are known and not there. Blocking."""
        return missing_models(self.settings.models_dir)

    @property
    def waiting(self) -> int:
        """Pictures in the queue or in work."""
        return len(self._open)

    @property
    def healthy(self) -> bool:
        """Whether the worker is up and was able to load the default model when it last had to. False while it
        starts."""
        return self._worker is not None and self._worker.ready and not self._worker.dead

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._worker.process.pid if self._worker is not None and not self._worker.dead else None

    async def _dispatch(self) -> None:
        while True:
            self._wake.clear()
            if self._worker is not None and self._worker.dead:
                await self._replace_worker()
            batch = self._next_batch()
            if batch:
                try:
                    await self._work(batch)
                except Exception as error:  # a defect of ours must not leave everybody waiting for ever
                    logger.exception("A batch broke the engine")
                    _fail(batch, EngineError(f"The engine broke down ({error!r}): try again later."))
            else:
                await self._wake.wait()

    def _next_batch(self) -> list[_Request]:
        """Take the first request that waits, and those that can go with it."""
        batch: list[_Request] = []
        left: deque[_Request] = deque()
        while self._queue:
            request = self._queue.popleft()
            if request.answer.done():  # its caller has gone
                continue
            fits = not batch or (
                len(batch) < self.settings.batch_size
                and not (request.retried or batch[0].retried)
                and (request.model, request.checkpoint, request.options)
                == (batch[0].model, batch[0].checkpoint, batch[0].options)
            )
            (batch if fits else left).append(request)
        self._queue = left
        return batch

    async def _work(self, batch: list[_Request]) -> None:
        """Answer every request of the batch, or put it back to be tried alone."""
        settings = self.settings
        try:
            worker = await self._live_worker()
            results = await worker.caption(
                batch, start_timeout=settings.start_timeout, picture_timeout=settings.picture_timeout
            )
        except ModelNotLoaded as error:
            if isinstance(error.__cause__, TimeoutError):
                await self._replace_worker()
            _fail(batch, error)
        except TimeoutError:
            await self._replace_worker()
            if len(batch) > 1:
                self._retry(batch)
            else:
                sentence = f"The picture took longer than {settings.picture_timeout:g} seconds"
                _fail(batch, PictureTimeout(f"{sentence}: send a smaller or simpler one."))
        except _WorkerDied as error:
            await self._replace_worker()
            if not batch[0].retried:
                self._retry(batch)
            elif isinstance(error, _DiedLoading):
                sentence = f"The inference worker died while it loaded {batch[0].model} ({error})"
                _fail(batch, ModelNotLoaded(f"{sentence}: give it more memory, or choose a smaller model."))
            else:
                sentence = f"The inference worker died of this picture twice ({error})"
                _fail(batch, WorkerCrashed(f"{sentence}: send another copy of it."))
        except OSError as error:
            _fail(batch, EngineError(f"The inference worker cannot be started ({error}): try again later."))
        else:
            for request, result in zip(batch, results, strict=True):
                _settle(request, result)

    def _retry(self, batch: list[_Request]) -> None:
        for request in reversed(batch):
            request.retried = True
            self._queue.appendleft(request)

    async def _live_worker(self) -> _Worker:
        if self._worker is None:
            self._worker = await _Worker.start(self.settings, self._wake)
        return self._worker

    async def _replace_worker(self) -> None:
        """End the worker if it has not ended, and start the next."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        await worker.kill()
        logger.warning("The inference worker ended: %s", _how_it_ended(worker.process.returncode))
        # One that never got ready would end again at once: the next picture is soon enough to try.
        if worker.ready:
            with contextlib.suppress(OSError):  # no memory for a process now; the next picture will say so
                await self._live_worker()


def _settle(request: _Request, result: protocol.Message) -> None:
    if "caption" in result:
        if not request.answer.done():
            request.answer.set_result(Caption.from_dict(result["caption"]))
    elif "refused" in result:
        _fail([request], PictureError(result["refused"], result["sentence"]))
    else:
        _fail([request], EngineError(result["failed"]))


def _fail(batch: Iterable[_Request], error: Exception) -> None:
    for request in batch:
        if not request.answer.done():  # else its caller has gone
            request.answer.set_exception(error)


def _how_it_ended(returncode: int | None) -> str:
    if returncode is None:
        return "still running"
    if returncode < 0:
        return f"killed by signal {-returncode}"
    return f"exit status {returncode}"
