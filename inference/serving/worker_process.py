"""The engine's side of the process that holds the models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from inference.common.types import DecodingOptions, ModelNotLoaded, Turn
from inference.serving import protocol
from inference.serving.child import Child, ChildDied, Frame
from inference.serving.protocol import Opened

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered about a picture."""

    question: str
    turns: tuple[Turn, ...]


class DiedLoading(ChildDied):
    """It had not begun with the pictures: the model was being loaded."""


class WorkerProcess(Child):
    """One worker, from its start to its end."""

    model = ""  # the default one
    ready = False  # it was able to load the default model when it last had to
    died: Callable[[], None]

    @classmethod
    async def start(cls, model: str, arguments: Sequence[str], died: Callable[[], None]) -> Self:
        """Spawn the process and ask it to load the default model, without waiting for that.

        ``died`` is called when it has ended. Raises OSError.
        """
        worker = await cls.spawn("inference.serving.worker", *arguments)
        worker.model, worker.died = model, died
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
        start_timeout: float,
        picture_timeout: float,
    ) -> list[protocol.Message]:
        """The worker's results, in the order of the pictures; ``asked`` of the only one, None: captions.

        Raises ChildDied, ModelNotLoaded (also when `start_timeout` has passed), or TimeoutError when the
        pictures took longer than `picture_timeout`.
        """
        message: protocol.Message = {
            **({"type": "caption"} if asked is None else {"type": "ask", **asdict(asked)}),
            "model": model,
            "checkpoint": checkpoint,
            "options": options.to_dict() if options else None,
            "pictures": [picture.to_dict() for picture in pictures],
        }
        default = model == self.model
        try:
            async with asyncio.timeout(start_timeout):
                await self.send(message, [picture.pixels for picture in pictures])
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
            done = await self._answer("done")
        results: list[protocol.Message] = done["results"]
        return results

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
        if message["type"] == "loaded":
            self.ready = True
        elif message["type"] == "not_loaded" and message["request"] == "load":
            logger.error("%s", message["sentence"])
        else:
            super().heard(frame)

    def ended(self) -> None:
        """It is dead."""
        self.died()
