"""What a chat is told while its pictures wait: their place in the queue, that it takes longer, or trouble."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiogram import Bot
from aiogram.exceptions import AiogramError

from bot.captioning.queue import Queue
from bot.captioning.typing_notice import TypingNotice
from bot.common.nursery import Nursery
from bot.feedback.database import NotStored, StoreError
from bot.feedback.jobs import Jobs
from bot.feedback.sessions import Outage
from bot.feedback.store import Store
from bot.feedback.tables import Job, Place
from bot.messages import outbox
from bot.messages.durations import duration
from bot.messages.failures import LeftOut
from bot.middlewares.requests import worth_little
from bot.texts import sentences, texts

logger = logging.getLogger(__name__)

NOTICE_PERIOD = 5.0  # seconds between looks at whether the notice with the place in the queue is to be edited
NOTICE_SHARE = 0.75  # of the number that it tells: so many are ahead when it is


class QueueNotice:
    """Tells how many pictures are ahead, when they are ``many``: once for all pictures of a place that wait.

    The notice of a bot that was killed is gone on with.
    """

    def __init__(self, bot: Bot, jobs: Jobs, queue: Queue, nursery: Nursery, *, many: int) -> None:
        self._bot = bot
        self._jobs = jobs
        self._queue = queue
        self._nursery = nursery
        self._many = many
        self._told: set[Place] = set()

    @asynccontextmanager
    async def shown(self, job: Job) -> AsyncIterator[None]:
        """Shown, if it has to be, while the block runs; then deleted."""
        many = self._queue.ahead_of(job) >= self._many
        if job.notice_message_id is None and (not many or job.place in self._told):
            yield
            return
        self._told.add(job.place)
        over = asyncio.Event()
        task = self._nursery.start(self._tell(job, over), name=f"queue notice in {job.chat_id}")
        try:
            yield
        finally:
            over.set()
            task.add_done_callback(lambda _: self._told.discard(job.place))

    async def _tell(self, job: Job, over: asyncio.Event) -> None:
        shown, notice = 0, job.notice_message_id
        try:
            while not over.is_set():
                ahead = self._queue.ahead_of(job)
                # Who is told "400" and then "398" has learnt nothing, and two hundred people at once are more
                # edits than Telegram allows.
                if ahead and (not shown or ahead <= NOTICE_SHARE * shown):
                    with suppress(LeftOut):  # then another time
                        notice, shown = await self._show(job, notice, ahead), ahead
                with suppress(TimeoutError):
                    async with asyncio.timeout(NOTICE_PERIOD):
                        await over.wait()
            if notice is not None:
                await outbox.delete(self._bot, job.place, notice)
                await self._write_down(job, None)
        except AiogramError as error:
            logger.debug("The queue notice in %s: %s", job.chat_id, error)

    async def _show(self, job: Job, notice: int | None, ahead: int) -> int:
        """Say how many are ahead, in the notice that is there already or in a new one. Raises LeftOut."""
        text = self._place(job, ahead)
        if notice is not None:
            try:
                with worth_little():
                    await outbox.edit(self._bot, job.place, notice, text)
            except LeftOut:
                raise
            except AiogramError as error:  # whatever it says: in the end it must go
                logger.debug("The queue notice in %s stays as it is: %s", job.chat_id, error)
            return notice
        with worth_little():
            sent = await outbox.send(self._bot, job.place, text, reply_to=job.message_id, silent=True)
        await self._write_down(job, sent.message_id)
        return sent.message_id

    def _place(self, job: Job, ahead: int) -> str:
        words = texts(job.language)
        sentence = sentences.QUESTION_QUEUE_PLACE if job.kind == "question" else sentences.QUEUE_PLACE
        told, seconds = words.plural(sentence, ahead), self._queue.seconds_for(job)
        if seconds is None:
            return told
        return f"{told} {words(sentences.TAKES_ABOUT, time=duration(seconds, words))}"

    async def _write_down(self, job: Job, notice: int | None) -> None:
        try:
            await self._jobs.noticed(job.id, notice)
        except (StoreError, NotStored) as error:  # only a kill would make it matter
            logger.info("Job %d: its queue notice is not written down: %s", job.id, error)


class LateNotice:
    """Says that it takes longer: once for all pictures of a place that wait for their files."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._late: Counter[Place] = Counter()  # jobs of which it was said

    @asynccontextmanager
    async def of(self, job: Job) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives what says so; what was said counts until the block ends."""
        told = False

        async def tell() -> None:
            nonlocal told
            if told:
                return
            told = True
            self._late[job.place] += 1
            if self._late[job.place] == 1:
                await self._say(job)

        try:
            yield tell
        finally:
            if told:
                self._late[job.place] -= 1
                if not self._late[job.place]:
                    del self._late[job.place]

    async def _say(self, job: Job) -> None:
        sentence = texts(job.language)(sentences.TAKES_LONGER)
        try:
            await outbox.send(self._bot, job.place, sentence, reply_to=job.message_id, silent=True)
        except AiogramError as error:
            logger.info("Job %d: that it takes longer could not be told: %s", job.id, error)


class TroubleNotice:
    """Says, without the database, that the answer comes later: once a place in each of its outages."""

    def __init__(self, bot: Bot, store: Store) -> None:
        self._bot = bot
        self._store = store
        self._outage: Outage | None = None
        self._told: set[Place] = set()

    async def tell(self, place: Place, *, language: str, reply_to: int) -> None:
        """Say so, as the answer to what somebody wrote; that it cannot be said is logged."""
        if self._outage is not self._store.outage:
            self._outage, self._told = self._store.outage, set()
        if place in self._told:
            return
        self._told.add(place)
        try:
            await outbox.send(self._bot, place, texts(language)(sentences.LATER), reply_to=reply_to)
        except AiogramError as error:
            logger.info("Nobody in %s could be told that it takes longer: %s", place.chat_id, error)


@dataclass(frozen=True, slots=True)
class Notices:
    """All of them."""

    typing: TypingNotice
    queue: QueueNotice
    late: LateNotice
