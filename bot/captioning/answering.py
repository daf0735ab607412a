"""One job, from its turn to its answer."""

from __future__ import annotations

import asyncio
import logging
import time

from bot.captioning.caption_source import CaptionSource
from bot.captioning.delivery import Delivery
from bot.captioning.fetching import FetchTries, FileAway
from bot.captioning.models import Catalogue
from bot.captioning.notices import Notices
from bot.captioning.outcomes import Failure, FailureKind, Unanswerable, Wait
from bot.captioning.patience import Patience
from bot.captioning.queue import LanePlace, Queue
from bot.captioning.reply import Reply, answer_reply, caption_reply, interruption
from bot.captioning.turn_source import TurnSource
from bot.captioning.watcher import Watcher
from bot.feedback.database import NotStored, StoreError
from bot.feedback.jobs import Jobs
from bot.feedback.people import People
from bot.feedback.tables import CaptionRow, Job
from bot.texts import Texts, texts
from inference.common.tracing import of_picture

logger = logging.getLogger(__name__)

ATTEMPTS = 5  # starts of the bot that may die with the same picture in work before it is given up


class Answering:
    """Answers jobs. ``max_file_mb``: told of files that are larger."""

    def __init__(
        self,
        jobs: Jobs,
        people: People,
        *,
        queue: Queue,
        captions: CaptionSource,
        turns: TurnSource,
        catalogue: Catalogue,
        delivery: Delivery,
        notices: Notices,
        patience: Patience,
        watcher: Watcher,
        max_file_mb: float,
    ) -> None:
        self._jobs = jobs
        self._people = people
        self._queue = queue
        self._captions = captions
        self._turns = turns
        self._catalogue = catalogue
        self._delivery = delivery
        self._notices = notices
        self._patience = patience
        self._watcher = watcher
        self._max_file_mb = max_file_mb

    async def work_on(self, job: Job, lane_place: LanePlace, *, resume: bool) -> None:
        """Work on a job until it is answered; what cannot be is left for the next start, and that is logged.

        ``resume``: another process may have begun with it.
        """
        came = time.monotonic()
        with of_picture(str(job.id)):
            try:
                outcome = await self._answer(job, lane_place, resume=resume)
            except NotStored:
                outcome = "dropped"
                logger.info("Job %d was erased while in work, or another bot has taken it over", job.id)
            except TimeoutError:
                outcome = "left"
                logger.error("Job %d is left for the next start: its reply could not be sent", job.id)
            except StoreError as error:
                outcome = "left"
                logger.error("Job %d is left for the next start: %s", job.id, error)
        self._watcher.picture_ended(job.model, outcome, time.monotonic() - came)

    async def _answer(self, job: Job, lane_place: LanePlace, *, resume: bool) -> str:
        """What came of it: see Watcher.picture_ended."""
        tries, came = FetchTries(), time.monotonic()
        claimed: Job | None = None
        async with self._notices.late.of(job) as tell_late:
            if job.kind == "question":
                await lane_place.come()  # what was asked before is a part of the conversation
            while True:
                async with self._notices.queue.shown(job), self._queue.turn(job):
                    if claimed is None:
                        self._watcher.picture_began(time.monotonic() - came)
                        claimed = await self._claim(job, resume=resume)
                    if claimed is None:
                        return "dropped"
                    async with self._notices.typing.show(claimed):
                        outcome = await self._reply(claimed, tries)
                if isinstance(outcome, Reply):
                    await lane_place.come()
                    return await self._deliver(claimed, outcome)
                lane_place.step_aside()
                if outcome.long:
                    await tell_late()
                await asyncio.sleep(outcome.seconds)

    async def _deliver(self, job: Job, reply: Reply) -> str:
        if not await self._delivery.deliver(job, reply):
            return "undeliverable"
        return "answered" if reply.failure is None else reply.failure.kind

    async def _claim(self, job: Job, *, resume: bool) -> Job | None:
        return await self._patience.insist(job, self._jobs.claim, job.id, resume=resume)

    async def _reply(self, job: Job, tries: FetchTries) -> Reply | Wait:
        """What is to be said, or when the job's file is asked for again."""
        if (note := interruption(job, job.caption_id)) is not None:
            return note
        words = texts(job.language)
        try:
            if job.attempts > ATTEMPTS:
                kind: FailureKind = "no_answer" if job.kind == "question" else "crashed"
                raise Unanswerable(kind, f"given up after {job.attempts - 1} starts")
            try:
                return await self._said(job, tries, words)
            except FileAway as away:
                wait = tries.failed(away)
                logger.info("Job %d: its file is asked for again in %.1f s (%s)", job.id, wait.seconds, away)
                return wait
        except Unanswerable as outcome:
            logger.info("Job %d: %s", job.id, outcome.reason)
            sentence = words(outcome.sentence, megabytes=f"{self._max_file_mb:g}", model=job.model)
            return Reply([sentence], failure=Failure(outcome.kind, outcome.reason))

    async def _said(self, job: Job, tries: FetchTries, words: Texts) -> Reply:
        """What is said where nothing fails. Raises Unanswerable, FileAway."""
        # Also of what was asked before the store was restored, and may have been answered since, only a note.
        if job.kind == "question":
            turn = await self._turns.turn_for(job)
            return interruption(job, turn.caption_id) or answer_reply(turn, words)
        row = await self._captions.caption_for(job, tries)
        return interruption(job, row.id) or caption_reply(
            row, job, words, explained=await self._is_explained(job, row)
        )

    async def _is_explained(self, job: Job, row: CaptionRow) -> bool:
        """Whether somebody can say what the joke is."""
        if not await self._catalogue.talkers():  # as with most bots: nobody's choice matters then
            return False
        person = await self._patience.insist(job, self._people.get, job.user_id)
        return await self._catalogue.talker_for(person, row) is not None
