"""The engine's side of the process that holds the models."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Self

from inference.common.types import Asked, DecodingOptions, ModelNotLoaded
from inference.serving import protocol
from inference.serving.child import Child, ChildDied, Frame
from inference.serving.protocol import Opened

logger = logging.getLogger(__name__)


class DiedLoading(ChildDied):
    """It had not begun with the pictures: the model was being loaded."""


class WorkerProcess(Child):
    """One worker, from its start to its end."""

    model = ""  # the default one
    ready = False  # it was able to load the default model when it last had to
    no_loader: str | None = None  # the sentence why it can load no model, now or ever
    imported: asyncio.Event  # that is known, or the process ended before
    wake: Callable[[], None]
    _answers: dict[int, asyncio.Future[protocol.Message]]  # that are due, by the pictures' ids
    _left: list[int]  # of them those that nobody waits for any more, and the process is not told of
    _ids: Iterator[int]

    @classmethod
    async def start(cls, model: str, arguments: Sequence[str], wake: Callable[[], None]) -> Self:
        """Spawn the process and ask it to load the default model, without waiting for that.

        ``wake`` is called when it has ended, and when :meth:`leave` has something to tell. Raises OSError.
        """
        worker = await cls.spawn("inference.serving.worker", *arguments)
        worker.model, worker.wake = model, wake
        worker.imported = asyncio.Event()
        worker._answers, worker._ids, worker._left = {}, itertools.count(), []
        await worker.send({"type": "load", "model": model})
        logger.info("Inference worker started, process %d", worker.pid)
        return worker

    async def describe(
        self,
        pictures: Sequence[Opened],
        *,
        model: str,
        checkpoint: str,
        options: DecodingOptions | None,
        asked: Asked | None,
        traced: Sequence[str],
        start_timeout: float,
        picture_timeout: float,
    ) -> list[asyncio.Future[protocol.Message]]:
        """The worker's results, in the order of the pictures; ``asked`` of the only one, None: captions.

        ``traced``: each one's id in the logs.

        Returns when the worker can take others. Results that are not there by then are waited for by it, not
        made by it, and raise ChildDied when it ends before. Who cancels one has the other machine stop.
        Raises ChildDied, ModelNotLoaded (also when `start_timeout` has passed), or TimeoutError when the
        pictures took longer than `picture_timeout`.
        """
        due = {next(self._ids): asyncio.get_running_loop().create_future() for _ in pictures}
        self._answers |= due
        for number, answer in due.items():
            answer.add_done_callback(partial(self._done, number))
        try:
            await self._hand_over(
                {
                    **({"type": "caption"} if asked is None else {"type": "ask", "asked": asked.to_dict()}),
                    "model": model,
                    "checkpoint": checkpoint,
                    "options": options.to_dict() if options else None,
                    "ids": list(due),
                    "traced": list(traced),
                    "pictures": [picture.to_dict() for picture in pictures],
                },
                [picture.pixels for picture in pictures],
                start_timeout=start_timeout,
                picture_timeout=picture_timeout,
            )
        except BaseException:
            for number in due:
                self._answers.pop(number, None)
            raise
        return list(due.values())

    def _done(self, number: int, answer: asyncio.Future[protocol.Message]) -> None:
        if answer.cancelled() and self._answers.pop(number, None) is not None:
            self._left.append(number)
            self.wake()

    async def leave(self) -> None:
        """Tell the process what nobody waits for any more. While it describes, it does not hear of that."""
        if self._left:
            left, self._left = self._left, []
            await self.send({"type": "leave", "ids": left})

    async def _hand_over(
        self,
        message: protocol.Message,
        pixels: protocol.Attachments,
        *,
        start_timeout: float,
        picture_timeout: float,
    ) -> None:
        """Returns when the worker can take the next message. Raises as :meth:`describe`."""
        model, default = message["model"], message["model"] == self.model
        try:
            async with asyncio.timeout(start_timeout):
                await self.send(message, pixels)
                await self._answer("begun")
        except ModelNotLoaded:
            self.ready = self.ready and not default
            raise
        except TimeoutError as error:
            sentence = f"The model {model} was not loaded within {start_timeout:g} seconds"
            raise ModelNotLoaded(f"{sentence}: try again later.") from error
        except ChildDied as error:
            raise DiedLoading(str(error)) from error
        self.ready = self.ready or default
        async with asyncio.timeout(picture_timeout):
            await self._answer("free")

    async def _answer(self, kind: str) -> protocol.Message:
        message, _ = await self.receive()
        if message["type"] == "not_loaded":
            raise ModelNotLoaded(message["sentence"])
        if message["type"] != kind:
            raise ChildDied(f"answer {message['type']!r} where {kind!r} was due")
        return message

    def heard(self, frame: Frame) -> None:
        """Take a frame that came."""
        message, _ = frame
        if message["type"] == "imported":
            self.no_loader = message["failed"]
            self.imported.set()
        elif message["type"] == "loaded":
            self.ready = True
        elif message["type"] == "answered":
            answer = self._answers.pop(message["id"], None)
            if answer is not None and not answer.done():
                answer.set_result(message["result"])
        elif message["type"] == "not_loaded" and message["request"] == "load":
            if self.no_loader is None:  # else the engine is told
                logger.error("%s", message["sentence"])
        else:
            super().heard(frame)

    def ended(self) -> None:
        """It is dead."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ChildDied(self.how_it_ended))
                answer.exception()  # whoever waits is told; where nobody does, nothing is to be logged
        self._answers.clear()
        self.imported.set()
        self.wake()
