"""Pictures in, captions out, without blocking the event loop and without dying of a bad picture.

Files are opened in processes of their own (openers.py), the models live in another (worker.py). The engine
queues the pictures, hands them over in small batches, and replaces a worker that died or hangs. Torch is
never imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

from inference.checkpoints.models import (
    MissingModel,
    ModelInfo,
    checkpoint_hash,
    list_models,
    missing_models,
    model_host,
)
from inference.checkpoints.names import ModelName
from inference.common import processors
from inference.common.tracing import of_picture, picture_id
from inference.common.types import (
    Answer,
    Asked,
    Caption,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureError,
    PictureTimeout,
    Turn,
    Version,
    WorkerCrashed,
)
from inference.serving import protocol
from inference.serving.child import ChildDied
from inference.serving.errors import KINDS
from inference.serving.openers import Openers
from inference.serving.program import program
from inference.serving.protocol import Opened
from inference.serving.worker_process import DiedLoading, WorkerProcess

logger = logging.getLogger(__name__)

_MOST_OPEN = 64_000_000  # bytes of pixels that wait for the worker, after which no more files are opened
_MOST_LOST = 3  # times that a picture is tried that had others go before, should the worker end meanwhile
_SWAP_TIME = 2.0  # seconds for which a model that was there may be gone: its folder is being replaced
_SWAP_PAUSE = 0.05  # seconds between two looks at it


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

    def worker_arguments(self) -> tuple[str, ...]:
        """What the worker's command line says of them."""
        return (
            *("--captioner", self.captioner, "--models-dir", str(self.models_dir)),
            *("--loaded-models", str(self.loaded_models)),
            *("--threads", str(self.threads or processors.available())),
        )


_Said = TypeVar("_Said", Caption, Answer)


@dataclass(slots=True, eq=False)
class _Request(Generic[_Said]):
    model: str
    checkpoint: str  # the weights that the folder held when the picture came
    options: DecodingOptions | None
    answer: asyncio.Future[_Said]
    asked: Asked | None  # None: a caption is wanted
    data: bytes  # of its file
    elsewhere: bool  # its model is on another machine
    picture: Opened | None = None  # once its file was opened
    opening: asyncio.Task[None] | None = None
    retried: bool = False  # its batch broke down: it is tried once more, alone
    lost: int = 0  # times that the worker ended after it had others go before
    result: asyncio.Future[protocol.Message] | None = None  # that comes when others went before
    traced: str = field(default_factory=picture_id)  # the id that its logs have


_AnyRequest = _Request[Any]

Helper = Literal["worker", "opener"]


class Watcher(Protocol):
    """Is told how the engine does."""

    def answered(self, model: str, said: Caption | Answer, seconds: float) -> None:
        """A picture was described, or a question about it answered, so many seconds after it came."""

    def refused(self, model: str, error: PictureError | EngineError) -> None:
        """No answer will come."""

    def replaced(self, helper: Helper) -> None:
        """A process died, or was ended since it took too long, and another one takes its place."""


class Engine:
    """The way to a caption for everybody who is not the worker::

        async with Engine(EngineSettings()) as engine:
            caption = await engine.caption(Path("meme.jpg").read_bytes())

    Pictures are answered in the order in which their files were opened, which is that in which they came but
    for files that take long. A picture whose model and options equal the first one's joins its batch. A lone
    picture never waits for company.

    A picture with so much print that it takes seconds has others go before while it is read.

    A model on another machine (``openai:NAME``) is waited for beside the others, as many pictures at once as
    OPENAI_CONCURRENCY says: it makes nobody wait but those who asked it.

    A model's folder may be replaced at any time. Pictures that came before are described by the weights that
    are in memory, those that come later by the new ones; if these cannot be loaded, the old ones go on.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.watchers: list[Watcher] = []
        self._queue: deque[_AnyRequest] = deque()
        self._open: set[_AnyRequest] = set()
        self._wake = asyncio.Event()  # something for the dispatcher: a request, or a worker that died
        self._openers = Openers(partial(self._tell_replaced, "opener"))
        self._room = asyncio.Event()  # fewer than _MOST_OPEN bytes are held
        self._worker: WorkerProcess | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        # By whether the model is elsewhere: a machine that does not answer holds up nobody else.
        self._arriving = {False: asyncio.Lock(), True: asyncio.Lock()}
        self._known: set[str] = set()  # models that were there
        self._endings: set[asyncio.Task[None]] = set()  # of workers that hang

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the worker; pictures are taken at once, while it still loads its model.

        Raises UnknownModel when the default model's checkpoint is not there.
        """
        try:
            # Hashed now, so that asking later does not block the loop.
            await asyncio.to_thread(self.checkpoint)
        except (ModelNotLoaded, EngineBusy) as error:  # a server that is not up yet
            logger.warning("%s", error)
        self._make_room()
        await self._openers.start()
        await self._live_worker()
        self._dispatcher = asyncio.create_task(self._dispatch())

    async def check_loader(self) -> None:
        """Wait until the worker has imported what loads models, which is sooner than that it has loaded one.

        Raises EngineError where there is no such function: no picture will ever be described. Of a worker
        that died first nothing is known, and the next one is asked for its pictures.
        """
        worker = self._worker
        if worker is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.start_timeout):
                await worker.imported.wait()
        if worker.no_loader is not None:
            raise EngineError(worker.no_loader)

    async def stop(self) -> None:
        """End the worker. Whoever still waits for a caption gets an EngineError."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)
            self._dispatcher = None
        _fail(self._open, EngineError("The engine is stopping: send the picture again later."))
        self._queue.clear()
        await self._openers.stop()
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
        A caller that is cancelled gives its place in the queue back; a machine elsewhere is told to stop.
        """
        answer: asyncio.Future[Caption] = asyncio.get_running_loop().create_future()
        return await self._watched(model, self._answer(data, options, model, answer))

    async def ask(
        self,
        data: bytes,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        options: DecodingOptions | None = None,
        model: str | None = None,
    ) -> Answer:
        """Answer a question about one picture, given as the bytes of its file.

        `question`: at most QUESTION_LENGTH characters, or JOKE. `turns`: what was asked and answered about
        this picture before, in order; a description is the answer to "". `options`: None = the model's own.
        Raises what :meth:`caption` does, CannotTalk where the model describes only, and ValueError for a
        question that is too long.
        """
        asked = Asked(question, tuple(turns))
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        return await self._watched(model, self._answer(data, options, model, answer, asked))

    async def _watched(self, model: str | None, work: Awaitable[_Said]) -> _Said:
        """What comes of the work on a picture, of which the watchers are told."""
        model, came = model or self.settings.model, time.perf_counter()
        try:
            said = await work
        except (PictureError, EngineError) as error:
            for watcher in self.watchers:
                watcher.refused(model, error)
            raise
        for watcher in self.watchers:
            watcher.answered(model, said, time.perf_counter() - came)
        return said

    async def _answer(
        self,
        data: bytes,
        options: DecodingOptions | None,
        model: str | None,
        answer: asyncio.Future[_Said],
        asked: Asked | None = None,
    ) -> _Said:
        """What comes of a request for the picture in a file, which ends up in ``answer``."""
        model = model or self.settings.model
        elsewhere = ModelName.parse(model).model.elsewhere
        async with self._arriving[elsewhere]:  # a lock is fair: the pictures stay in their order
            checkpoint = await asyncio.to_thread(self.checkpoint, model)
        if self._dispatcher is None:
            raise EngineError("The engine is not running: start it first.")
        # Those that a machine elsewhere lets wait take no place of the others.
        waiting = sum(request.elsewhere == elsewhere for request in self._open)
        if waiting >= self.settings.queue_size:
            raise EngineBusy(f"{waiting} pictures are waiting already: send this one again in a few minutes.")
        request = _Request(model, checkpoint, options, answer, asked, data, elsewhere)
        self._open.add(request)
        self._have_opened(request)
        try:
            return await request.answer
        finally:
            if request.opening is not None:
                request.opening.cancel()
            if request.result is not None:
                request.result.cancel()  # should the other machine still be at it
            self._open.discard(request)
            request.picture = None  # its batch may be remembered until the next one
            self._make_room()
            with contextlib.suppress(ValueError):
                self._queue.remove(request)

    def _have_opened(self, request: _AnyRequest) -> None:
        request.opening = asyncio.create_task(self._open_file(request))

    async def _open_file(self, request: _AnyRequest) -> None:
        """Open a picture's file and put it into the queue."""
        try:
            request.picture = await self._openers.open(request.data, self._room)
        except (PictureError, EngineError) as error:
            _fail([request], error)
        except OSError as error:
            _fail([request], EngineError(f"No process can be started to open it ({error}): try again later."))
        except Exception as error:  # a defect of ours must not leave the caller waiting for ever
            logger.exception("A file broke what opens it")
            _fail([request], EngineError(f"The engine broke down ({error!r}): try again later."))
        else:
            self._queue.append(request)
            self._make_room()
            self._wake.set()

    def _make_room(self) -> None:
        """Let the next file be opened, unless much is open already."""
        held = sum(len(request.picture.pixels) for request in self._open if request.picture is not None)
        if held < _MOST_OPEN:
            self._room.set()
        else:
            self._room.clear()

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

    def models(self, also: Iterable[str] = ()) -> list[ModelInfo]:
        """The models there are, by name, and those of ``also`` that are there and need not be listed.
        Blocking, as :meth:`checkpoint` is.
        """
        return list_models(self.settings.models_dir, also)

    def hosts(self, models: Iterable[str]) -> dict[str, str]:
        """The machines elsewhere to which pictures for these models go, as HOST:PORT, by the model's name; of
        those for others nothing.

        Blocking. Raises UnknownModel where a setting is wrong.
        """
        found = {model: model_host(ModelName.parse(model)) for model in models}
        return {model: host for model, host in found.items() if host is not None}

    def missing(self) -> list[MissingModel]:
        """The models that are known and not there. Blocking."""
        return missing_models(self.settings.models_dir)

    @property
    def waiting(self) -> int:
        """Pictures in the queue or in work."""
        return len(self._open)

    @property
    def queued(self) -> int:
        """Pictures among them that are opened and wait for the worker."""
        return len(self._queue)

    @property
    def healthy(self) -> bool:
        """Whether the worker is up and was able to load the default model when it last had to. False while it
        starts."""
        return self._worker is not None and self._worker.ready and not self._worker.dead

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._worker.pid if self._worker is not None and not self._worker.dead else None

    async def _dispatch(self) -> None:
        while True:
            self._wake.clear()
            if self._worker is not None:
                if self._worker.dead:
                    await self._replace_worker()
                else:
                    await self._worker.leave()
            batch = self._next_batch()
            if batch:
                try:
                    with of_picture(",".join(request.traced for request in batch if request.traced)):
                        await self._work(batch)
                except Exception as error:  # a defect of ours must not leave everybody waiting for ever
                    logger.exception("A batch broke the engine")
                    _fail(batch, EngineError(f"The engine broke down ({error!r}): try again later."))
            else:
                await self._wake.wait()

    def _next_batch(self) -> list[_AnyRequest]:
        """Take the first request that waits, and those that can go with it."""
        batch: list[_AnyRequest] = []
        left: deque[_AnyRequest] = deque()
        while self._queue:
            request = self._queue.popleft()
            if request.answer.done():  # its caller has gone
                continue
            fits = not batch or (
                len(batch) < self.settings.batch_size
                and not (request.retried or batch[0].retried)
                and request.asked is None is batch[0].asked
                and (request.model, request.checkpoint, request.options)
                == (batch[0].model, batch[0].checkpoint, batch[0].options)
            )
            (batch if fits else left).append(request)
        self._queue = left
        return batch

    async def _work(self, batch: list[_AnyRequest]) -> None:
        """Answer every request of the batch, or put it back to be tried alone."""
        settings, first = self.settings, batch[0]
        # Taken now: who leaves takes the picture along.
        pictures = [request.picture for request in batch if request.picture is not None]
        try:
            worker = await self._live_worker()
            answers = await worker.describe(
                pictures,
                model=first.model,
                checkpoint=first.checkpoint,
                options=first.options,
                asked=first.asked,
                traced=[request.traced for request in batch],
                start_timeout=settings.start_timeout,
                picture_timeout=settings.picture_timeout,
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
                _fail(batch, self._timeout())
        except ChildDied as error:
            await self._replace_worker()
            if not batch[0].retried:
                self._retry(batch)
            elif isinstance(error, DiedLoading):
                sentence = f"The inference worker died while it loaded {batch[0].model} ({error})"
                _fail(batch, ModelNotLoaded(f"{sentence}: give it more memory, or choose a smaller model."))
            else:
                sentence = f"The inference worker died of this picture twice ({error})"
                _fail(batch, WorkerCrashed(f"{sentence}: send another copy of it."))
        except OSError as error:
            _fail(batch, EngineError(f"The inference worker cannot be started ({error}): try again later."))
        else:
            for request, result in zip(batch, answers, strict=True):
                self._take(request, result, worker)

    def _take(
        self, request: _AnyRequest, result: asyncio.Future[protocol.Message], worker: WorkerProcess
    ) -> None:
        """Take the answer to a request; or, while the worker waits for another machine or has others go
        before, go on with those."""
        if result.done():
            _settle(request, result.result())
            return
        if request.answer.done():  # its caller has gone
            result.cancel()
            return
        request.result = result
        request.picture = None  # should the worker end, the file is opened once more
        self._make_room()
        if not request.elsewhere:
            too_late = asyncio.get_running_loop().call_later(
                self.settings.picture_timeout, self._give_up, request, worker
            )
            result.add_done_callback(lambda _: too_late.cancel())

        def came(result: asyncio.Future[protocol.Message]) -> None:
            if result.cancelled():
                return
            error = result.exception()
            if error is None:
                _settle(request, result.result())
            elif not request.answer.done():
                self._ask_again(request, error)

        result.add_done_callback(came)

    def _give_up(self, request: _AnyRequest, worker: WorkerProcess) -> None:
        """It takes too long, and nobody knows whether it will end."""
        _fail([request], self._timeout())
        ending = asyncio.create_task(worker.kill())  # the dispatcher replaces it
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _timeout(self) -> PictureTimeout:
        seconds = self.settings.picture_timeout
        return PictureTimeout(
            f"The picture took longer than {seconds:g} seconds: send a smaller or simpler one."
        )

    def _ask_again(self, request: _AnyRequest, error: BaseException) -> None:
        """The worker ended, of another picture most likely."""
        request.lost += 1
        if request.lost < _MOST_LOST:
            self._have_opened(request)
        else:
            sentence = f"The inference worker ended {request.lost} times while this was in work ({error})"
            _fail([request], WorkerCrashed(f"{sentence}: send the picture again later."))

    def _retry(self, batch: list[_AnyRequest]) -> None:
        for request in reversed(batch):
            request.retried = True
            self._queue.appendleft(request)

    async def _live_worker(self) -> WorkerProcess:
        if self._worker is None:
            self._worker = await WorkerProcess.start(
                self.settings.model, self.settings.worker_arguments(), self._wake.set
            )
        return self._worker

    async def _replace_worker(self) -> None:
        """End the worker if it has not ended, and start the next."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        await worker.kill()
        logger.warning("The inference worker ended: %s", worker.how_it_ended)
        self._tell_replaced("worker")
        # One that never got ready would end again at once: the next picture is soon enough to try.
        if worker.ready:
            with contextlib.suppress(OSError):  # no memory for a process now; the next picture will say so
                await self._live_worker()

    def _tell_replaced(self, helper: Helper) -> None:
        for watcher in self.watchers:
            watcher.replaced(helper)


def _settle(request: _AnyRequest, result: protocol.Message) -> None:
    if "failed" in result:
        _fail([request], KINDS[result["kind"]](result["failed"]))
    elif not request.answer.done():  # else its caller has gone
        request.answer.set_result(
            Answer.from_dict(result["answer"]) if "answer" in result else Caption.from_dict(result["caption"])
        )


def _fail(batch: Iterable[_AnyRequest], error: Exception) -> None:
    for request in batch:
        if not request.answer.done():  # else its caller has gone
            request.answer.set_exception(error)
