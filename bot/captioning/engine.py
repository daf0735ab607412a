"""The engine, asked patiently; what it refuses becomes a sentence for the person."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from bot.captioning.models import AnyEngine, Catalogue
from bot.captioning.outcomes import FailureKind, Unanswerable
from bot.feedback.tables import Job
from inference.common.types import (
    Answer,
    Caption,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureError,
    PictureTimeout,
    Turn,
    UnknownModel,
    Version,
    WorkerCrashed,
)

logger = logging.getLogger(__name__)

_Said = TypeVar("_Said")

BUSY_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between tries to enter a full engine
AWAY_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between tries to find out which weights a model has


class PatientEngine:
    """The models of ``engine``; ``default``: the name of the one that describes when another is gone."""

    def __init__(self, engine: AnyEngine, catalogue: Catalogue, *, default: str) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._default = default

    async def model_for(self, job: Job) -> tuple[str, Version]:
        """The model for a job, and its version: the default one when the chosen one is there no more.

        Raises Unanswerable.
        """
        for name in dict.fromkeys((job.model or self._default, self._default)):
            if job.part and name != job.model and name in (job.compared_with or ()):
                break  # another part is by the default model
            try:
                return name, await self._version(name)
            except UnknownModel as error:
                logger.error("Job %d: %s", job.id, error)
            except EngineError as error:
                raise self._no_model(name, error) from error
        kind: FailureKind = "compared_model_gone" if job.part else "out_of_order"
        raise Unanswerable(kind, f"there is no model {job.model}")

    async def _version(self, name: str) -> Version:
        """The model's version. A service elsewhere may just be restarting: it is asked several times."""
        for pause in AWAY_PAUSES:
            try:
                return await asyncio.to_thread(self._engine.version, name)
            except UnknownModel:
                raise
            except EngineError as error:
                logger.info("Asking for the model %s again in %.0f s (%s)", name, pause, error)
            await asyncio.sleep(pause)
        return await asyncio.to_thread(self._engine.version, name)

    async def talks(self, model: str) -> bool:
        """Whether this model answers questions."""
        return await self._catalogue.talks(model)

    async def describe(self, data: bytes, options: DecodingOptions | None, model: str) -> Caption:
        """What the model says about a file; ``options`` None: its own. Raises Unanswerable."""
        try:
            caption = await _entered(partial(self._engine.caption, data, options=options, model=model))
        except EngineBusy as error:
            raise Unanswerable("busy", str(error)) from error
        except PictureError as error:
            raise Unanswerable(error.code, str(error)) from error
        except PictureTimeout as error:
            raise Unanswerable("timeout", str(error)) from error
        except WorkerCrashed as error:
            raise Unanswerable("crashed", str(error)) from error
        except (ModelNotLoaded, UnknownModel) as error:
            raise self._no_model(model, error) from error
        except EngineError as error:
            logger.error("No caption: %s", error)
            raise Unanswerable("out_of_order", str(error)) from error
        # Somebody else's captioner may call itself as it likes: here it is what was asked for.
        return replace(caption, model=model)

    async def ask(
        self, data: bytes, question: str, turns: Sequence[Turn], options: DecodingOptions | None, model: str
    ) -> Answer:
        """What the model answers to a question about a file; ``turns``: what was said of it before. Raises
        Unanswerable.
        """
        asked = partial(self._engine.ask, data, question, turns=turns, options=options, model=model)
        try:
            answer = await _entered(asked)
        except EngineBusy as error:
            raise Unanswerable("question_busy", str(error)) from error
        except PictureError as error:
            raise Unanswerable(error.code, str(error)) from error
        except EngineError as error:
            logger.error("No answer: %s", error)
            raise Unanswerable("no_answer", str(error)) from error
        return replace(answer, model=model)

    def _no_model(self, name: str, error: EngineError) -> Unanswerable:
        logger.error("No caption: %s", error)
        usual = name == self._default
        return Unanswerable("out_of_order" if usual else "model_broken", str(error))


async def _entered(ask: Callable[[], Awaitable[_Said]]) -> _Said:
    """What the engine says, asked again while it is full. Raises EngineBusy when it stays so."""
    for pause in BUSY_PAUSES:
        try:
            return await ask()
        except EngineBusy:
            await asyncio.sleep(pause)
    return await ask()
