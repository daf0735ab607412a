"""Where the caption for a job comes from: from the database when it was made before, else from the engine."""

from __future__ import annotations

import asyncio
import hashlib
import logging

from bot.captioning.engine import PatientEngine
from bot.captioning.fetching import Fetcher, FetchTries, FileAway
from bot.captioning.outcomes import Unanswerable
from bot.captioning.patience import Patience
from bot.feedback.captions import Captions
from bot.feedback.jobs import options_key
from bot.feedback.pictures import PictureFields, Pictures
from bot.feedback.tables import CaptionRow, Job
from inference.pictures.opening import upright_size

logger = logging.getLogger(__name__)


class CaptionSource:
    """Captions that were made before, or are made now and kept."""

    def __init__(
        self,
        captions: Captions,
        pictures: Pictures,
        engine: PatientEngine,
        fetcher: Fetcher,
        patience: Patience,
    ) -> None:
        self._patience = patience
        self._captions = captions
        self._pictures = pictures
        self._engine = engine
        self._fetcher = fetcher

    async def caption_for(self, job: Job, tries: FetchTries) -> CaptionRow:
        """The caption for a job, which from now on is the job's. Raises Unanswerable, FileAway, NotStored."""
        insist = self._patience.insist
        if job.caption_id is not None:
            row = await insist(job, self._captions.get, job.caption_id)
            if row is not None:
                return row
        model, version = await self._engine.model_for(job)
        # Who describes only answers no question, and so says the same to everybody.
        asked = bool(job.question) and await self._engine.talks(model)
        cached = await insist(
            job,
            self._captions.cached,
            job.file_unique_id,
            model,
            version,
            options_key(job.decoding_options(asked=asked)),
            user_id=job.user_id,
        )
        if cached is not None:
            await self._use(job, cached, tries)
            return cached
        return await self._make(job, model, asked=asked)

    async def _make(self, job: Job, model: str, *, asked: bool) -> CaptionRow:
        async with self._fetcher.fetched(job) as data:
            caption = await self._engine.describe(data, job.decoding_options(asked=asked), model)
            picture = await asyncio.to_thread(_picture, job.file_unique_id, data)
            return await self._patience.insist(
                job, self._captions.save, job.id, picture=picture, caption=caption, asked=asked
            )

    async def _use(self, job: Job, cached: CaptionRow, tries: FetchTries) -> None:
        """Answer with a caption made before; the picture is kept when only this sender lets it be.

        Raises FileAway for the first tries to fetch it.
        """
        picture = await self._patience.insist(job, self._pictures.get, cached.picture_id)
        if picture is not None and picture.path is None and job.keeps_picture:
            try:
                async with self._fetcher.fetched(job) as data:
                    await self._patience.insist(job, self._captions.use, job.id, cached.id, data=data)
                return
            except Unanswerable as outcome:  # the caption is at hand: it must not fail for this
                logger.info("Job %d: the picture cannot be kept: %s", job.id, outcome.reason)
            except FileAway as away:
                if tries.few:
                    raise
                logger.info("Job %d: the picture cannot be kept: %s", job.id, away)
        await self._patience.insist(job, self._captions.use, job.id, cached.id)


def _picture(file_unique_id: str, data: bytes) -> PictureFields:
    """What is kept of a file, which takes a while of a large one."""
    width, height = upright_size(data)
    return PictureFields(
        file_unique_id=file_unique_id,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        width=width,
        height=height,
        data=data,
    )
