"""The work on all pictures of one bot process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from aiogram.types import Message

from bot.captioning.answering import Answering
from bot.captioning.delivery import Delivery
from bot.captioning.models import Catalogue, choices
from bot.captioning.queue import LanePlace, Queue
from bot.captioning.reply import answer_reply, caption_reply
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.jobs import Jobs
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.tables import CaptionRow, Choice, Job, JobKind, Place, TurnRow, User
from bot.feedback.usage import DayLimits
from bot.messages.targets import Found
from bot.texts import texts
from inference.common.types import DecodingOptions

logger = logging.getLogger(__name__)


class Captioning:
    """Accepts pictures, has them answered in the background, and takes up what was left unfinished."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        pseudonyms: Pseudonyms,
        queue: Queue,
        answering: Answering,
        delivery: Delivery,
        catalogue: Catalogue,
        nursery: Nursery,
        settings: Settings,
    ) -> None:
        self._jobs = jobs
        self._pseudonyms = pseudonyms
        self._queue = queue
        self._answering = answering
        self._delivery = delivery
        self._catalogue = catalogue
        self._nursery = nursery
        self._settings = settings
        self._limits = DayLimits(
            person=settings.pictures_a_day_person,
            group=settings.pictures_a_day_group,
            everybody=settings.pictures_a_day,
        )
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def unfinished(self) -> int:
        """Pictures accepted and not yet answered."""
        return len(self._queue)

    async def accept(
        self,
        picture: Found,
        *,
        user: User,
        place: Place,
        message_id: int,
        sender: int | Job | None,
        language: str,
        kind: JobKind = "caption",
        options: DecodingOptions | None = None,
        question: str = "",
        about_caption_id: int | None = None,
        source_caption_id: int | None = None,
        chosen: Sequence[Choice] = (),
        again: bool = False,
        asked_at: datetime | None = None,
    ) -> list[tuple[Job, bool]]:
        """Write the job rows; False: accepted before. Give the new ones together to :meth:`submit`.

        ``user``: who asks, and as they want it it is told; ``sender``, ``again``, ``asked_at``: see
        Jobs.accept. ``chosen``: who is to describe it, by default as the asker wants it. ``question``: what
        stands under it, or of that kind of job what is asked.
        Raises QueueFull when the person has too many unanswered pictures already, DayFull, NotStored.
        """
        telling = user.telling()
        if options is None:
            options = telling
        elif telling is not None:
            options = options.told_as(telling)
        described_by = chosen or choices(self._settings, user)
        if kind != "question" and not await self._is_asked(question, described_by):
            question = ""  # what nobody will answer is not kept either
        with self._queue.accepting(user.id):
            accepted = await self._jobs.accept(
                user_id=user.id,
                place=place,
                message_id=message_id,
                file_id=picture.file_id,
                file_unique_id=picture.file_unique_id,
                language=language,
                kind=kind,
                options=options,
                question=question or None,
                about_caption_id=about_caption_id,
                source_caption_id=source_caption_id,
                sender=sender,
                choices=described_by,
                again=again,
                asked_at=asked_at,
                limits=self._limits,
            )
        self._queue.add(job for job, created in accepted if created)
        return accepted

    async def _is_asked(self, question: str, described_by: Sequence[Choice]) -> bool:
        """Whether a text under a picture is a question that one of these can answer."""
        if not 0 < len(question) <= self._settings.question_length:
            return False
        return any([await self._catalogue.talks(choice.model) for choice in described_by])

    def submit(self, jobs: Sequence[Job], *, lane: str | None = None, resume: bool = False) -> None:
        """Work on ``jobs`` in the background. Those of one lane are answered in the order given."""
        for job in jobs:
            if job.id in self._tasks:
                continue
            lane_place = self._queue.enter_lane(lane)
            self._queue.add([job])
            task = self._nursery.start(
                self._answering.work_on(job, lane_place, resume=resume), name=f"job {job.id}"
            )
            self._tasks[job.id] = task
            # Also runs for a task cancelled before its first step, which no `finally` inside would.
            task.add_done_callback(partial(self._finished, job, lane_place))

    def _finished(self, job: Job, lane_place: LanePlace, _: asyncio.Task[None]) -> None:
        self._queue.remove(job)
        self._tasks.pop(job.id, None)
        lane_place.step_aside()

    async def resume(self, *, silent_for: float = 0.0) -> int:
        """Take up what another process accepted and did not finish; returns how many pictures.

        ``silent_for``: seconds for which it has not said that it works on them; 0: it is certainly dead.
        """
        await self._jobs.hold([job.id for job in self._queue])
        jobs = await self._jobs.take_over(silent_for=silent_for)
        # Handlers of an album's pictures run side by side: their rows need not be in the album's order.
        jobs.sort(key=lambda job: (job.message_id, job.id))
        for job in jobs:
            self.submit([job], lane=f"resumed {job.chat_id} {job.user_id}", resume=True)
        return len(jobs)

    async def drop(self, user: User) -> None:
        """Stop the work for one person, who is about to be erased, and on their pictures."""
        whose = self._pseudonyms.sender(user.telegram_id)
        jobs = [job.id for job in self._queue if user.id == job.user_id or whose == job.sender]
        tasks = [self._tasks[number] for number in jobs if number in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, seconds: float) -> None:
        """Let work in flight finish for at most ``seconds``; the next start resumes what is cancelled."""
        if left := await self._nursery.drain(seconds):
            logger.info("%d pictures are left for the next start", left)

    async def show(
        self,
        row: CaptionRow,
        job: Job | None,
        *,
        user: User,
        place: Place,
        reply_to: int | None,
        language: str,
    ) -> Message:
        """Send a caption that exists already to ``user``, with its buttons; ``job``: the one it answered.

        Returns the last message of it, which has the buttons.
        """
        explained = await self._catalogue.talker_for(user, row) is not None
        reply = caption_reply(row, job, texts(language), explained=explained)
        return await self._delivery.show(reply, place, reply_to=reply_to)

    async def show_answer(
        self, turn: TurnRow, *, place: Place, reply_to: int | None, language: str
    ) -> Message:
        """Send an answer that exists already; returns the last message of it."""
        return await self._delivery.show(answer_reply(turn, texts(language)), place, reply_to=reply_to)
