"""Takes a picture from "received" to "answered".

A job row is written first, so an accepted picture survives ``kill -9``; :meth:`Captioning.resume` finishes
at the next start what was left. The reply goes out once: the row says when a reply is about to be sent. A
process killed between that moment and Telegram's answer leaves the outcome unknown; the next start then
neither repeats the caption nor drops it, but sends a short note with a button that shows it. While the
process lives, a request whose outcome is unknown (the connection broke) is repeated: a caption twice is
better than none.

While a file cannot be fetched, its picture holds back nobody: it leaves its place in the work, is tried again
for as long as a reply would be, and the chat is told once that it takes longer. Of what was fetched no more
is in memory than PICTURE_MEMORY_MB.

While the database cannot be written (a full disk), it is asked again for half a minute. Then the person is
told that something is broken, and the picture is left for the next start.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
)
from aiogram.types import InlineKeyboardMarkup, Message
from aiohttp import ClientError, ClientResponseError

from bot import outbox
from bot.config import Settings
from bot.feedback.database import StoreError
from bot.feedback.store import NotStored, PictureFields, Store, options_key
from bot.feedback.tables import CaptionRow, Choice, Job, JobKind, Place, User, now
from bot.middlewares.requests import single_attempt, surely_not_done
from bot.models import AnyEngine, choices
from bot.nursery import Nursery
from bot.replies import caption_keyboard, caption_messages, introduction, show_keyboard
from bot.room import Room
from bot.senders import is_person
from bot.targets import Found
from bot.texts import Texts, sentences, texts
from bot.typing_notice import TypingNotice
from inference.common.types import (
    Caption,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureError,
    PictureTimeout,
    UnknownModel,
    Version,
    WorkerCrashed,
)
from inference.pictures.opening import upright_size

logger = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

ATTEMPTS = 5  # starts of the bot that may die with the same picture in work before it is given up
FETCH_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the first tries to fetch a file
BUSY_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between tries to enter a full engine
AWAY_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between tries to find out which weights a model has
STORE_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between tries to write into the database
FETCH_TIMEOUT = 120  # seconds for one file
DELIVERY_TIME = 3600.0  # seconds for which a finished reply is kept trying; then the next start tries
FETCH_TIME = DELIVERY_TIME  # seconds for which a file is asked for; then the person is told
LONGEST_PAUSE = 30.0
NOTICE_PERIOD = 5.0  # seconds between edits of the notice with the place in the queue

_REFUSALS = {
    "empty": sentences.EMPTY,
    "not_a_picture": sentences.NOT_A_PICTURE,
    "truncated": sentences.TRUNCATED,
    "too_many_pixels": sentences.TOO_MANY_PIXELS,
    "too_large": sentences.TOO_LARGE,
    "unsupported": sentences.UNSUPPORTED,
}


class Unanswerable(Exception):  # noqa: N818 - an outcome: the person is told `sentence`
    """No caption for this picture. ``reason`` is for the operator."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(reason)
        self.sentence = sentence
        self.reason = reason


class _FileAway(Exception):  # noqa: N818 - a state
    """A file cannot be fetched just now. ``wait``: seconds that the server asked for, or None."""

    def __init__(self, reason: str, *, wait: float | None = None, refused: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.refused = refused  # the server answers, and has no such file


@dataclass(slots=True)
class _Fetching:
    """How often and since when a job's file is asked for in vain."""

    since: float  # the loop's clock
    tries: int = 0


class QueueFull(Exception):  # noqa: N818 - a state
    """This person has ``waiting`` unanswered pictures, as many as one may have."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} pictures are waiting")
        self.waiting = waiting


@dataclass(frozen=True, slots=True)
class _Reply:
    messages: Sequence[str]  # HTML
    keyboard: InlineKeyboardMarkup | None = None
    failure: str | None = None  # why it is no caption


class Captioning:
    """The work on all pictures of one bot process."""

    def __init__(self, *, bot: Bot, store: Store, engine: AnyEngine, settings: Settings) -> None:
        self._bot = bot
        self._store = store
        self._engine = engine
        self._settings = settings
        self._nursery = Nursery()
        self._typing = TypingNotice(bot, self._nursery)
        self._all = asyncio.Semaphore(settings.queue_size)
        self._room = Room(settings.picture_memory_bytes)
        self._shares: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()
        self._line: dict[int, Job] = {}  # every unfinished job, in the order they were accepted
        self._accepting: Counter[int] = Counter()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._lanes: dict[str, asyncio.Event] = {}
        self._noticed: set[Place] = set()
        self._late: Counter[Place] = Counter()  # jobs whose file lets itself be waited for, which was told

    @property
    def unfinished(self) -> int:
        """Pictures accepted and not yet answered."""
        return len(self._line)

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
        source_caption_id: int | None = None,
        chosen: Sequence[Choice] = (),
        again: bool = False,
    ) -> list[tuple[Job, bool]]:
        """Write the job rows; False: accepted before. Give the new ones together to :meth:`submit`.

        ``user``: who asks; ``sender``, ``again``: see Store.accept. ``chosen``: who is to describe it, by
        default as the asker wants it.
        Raises QueueFull when the person has too many unanswered pictures already, NotStored.
        """
        waiting = self._accepting[user.id] + sum(job.user_id == user.id for job in self._line.values())
        if waiting >= self._settings.per_user_queue:
            raise QueueFull(waiting)
        self._accepting[user.id] += 1  # handlers run side by side: those half-way count too
        try:
            accepted = await self._store.accept(
                user_id=user.id,
                place=place,
                message_id=message_id,
                file_id=picture.file_id,
                file_unique_id=picture.file_unique_id,
                language=language,
                kind=kind,
                options=options,
                source_caption_id=source_caption_id,
                sender=sender,
                choices=chosen or choices(self._settings, user),
                again=again,
            )
        finally:
            self._accepting[user.id] -= 1
            if not self._accepting[user.id]:
                del self._accepting[user.id]
        self._line |= {job.id: job for job, created in accepted if created}
        return accepted

    def submit(self, jobs: Sequence[Job], *, lane: str | None = None, resume: bool = False) -> None:
        """Work on ``jobs`` in the background. Those of one lane are answered in the order given."""
        for job in jobs:
            if job.id in self._tasks:
                continue
            lane_before = self._lanes.get(lane) if lane is not None else None
            done = asyncio.Event()
            if lane is not None:
                self._lanes[lane] = done
            self._line[job.id] = job
            task = self._nursery.start(
                self._answer(job, lane_before, done, resume=resume), name=f"job {job.id}"
            )
            self._tasks[job.id] = task
            # Also runs for a task cancelled before its first step, which no `finally` inside would.
            task.add_done_callback(partial(self._finished, job, lane, done))

    def _finished(self, job: Job, lane: str | None, done: asyncio.Event, _: asyncio.Task[None]) -> None:
        self._line.pop(job.id, None)
        self._tasks.pop(job.id, None)
        done.set()
        if lane is not None and self._lanes.get(lane) is done:
            del self._lanes[lane]

    async def resume(self, *, silent_for: float = 0.0) -> int:
        """Take up what another process accepted and did not finish; returns how many pictures.

        ``silent_for``: seconds for which it has not said that it works on them; 0: it is certainly dead.
        """
        if silent_for:
            await self._store.hold_jobs(self._line)
            jobs = await self._store.take_over(now() - timedelta(seconds=silent_for))
        else:
            jobs = await self._store.pending_jobs()
        # Handlers of an album's pictures run side by side: their rows need not be in the album's order.
        jobs.sort(key=lambda job: (job.message_id, job.id))
        for job in jobs:
            self.submit([job], lane=f"resumed {job.chat_id} {job.user_id}", resume=True)
        return len(jobs)

    async def drop(self, user: User) -> None:
        """Stop the work for one person, who is about to be erased, and on their pictures."""
        whose = self._store.sender(user.telegram_id)
        jobs = [job.id for job in self._line.values() if user.id == job.user_id or whose == job.sender]
        tasks = [self._tasks[number] for number in jobs if number in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, seconds: float) -> None:
        """Let work in flight finish for at most ``seconds``; the next start resumes what is cancelled."""
        if left := await self._nursery.drain(seconds):
            logger.info("%d pictures are left for the next start", left)

    async def show(
        self, row: CaptionRow, job: Job | None, *, place: Place, reply_to: int | None, language: str
    ) -> Message:
        """Send a caption that exists already, with its buttons; ``job``: the one it answered.

        Returns the last message of it, which has the buttons.
        """
        reply = self._caption_reply(row, job, texts(language))
        *firsts, last = reply.messages
        for message in firsts:
            await outbox.send(self._bot, place, message, reply_to=reply_to)
        return await outbox.send(self._bot, place, last, keyboard=reply.keyboard, reply_to=reply_to)

    # --- one job ---

    async def _answer(
        self, job: Job, before: asyncio.Event | None, done: asyncio.Event, *, resume: bool
    ) -> None:
        fetching = _Fetching(asyncio.get_running_loop().time())
        claimed: Job | None = None
        try:
            async with self._lateness(job) as late:
                while True:
                    async with self._typing.show(job.place):
                        async with self._place_told(job), self._turn(job.user_id):
                            claimed = claimed or await _insist(self._store.claim, job.id, resume=resume)
                            if claimed is None:
                                return
                            reply = await self._reply(claimed, fetching)
                        if not isinstance(reply, float):
                            await self._reply_in_turn(claimed, reply, before)
                            return
                    done.set()  # what comes behind it in its lane is not held back
                    if fetching.tries > len(FETCH_PAUSES):
                        await late()
                    await asyncio.sleep(reply)
        except NotStored:
            logger.info("Job %d was erased while it was in work", job.id)
        except TimeoutError:
            logger.error("Job %d is left for the next start: its reply could not be sent", job.id)
        except StoreError as error:
            logger.error("Job %d is left for the next start: %s", job.id, error)
            await self._tell_of_trouble(job)

    async def _reply_in_turn(self, job: Job, reply: _Reply, before: asyncio.Event | None) -> None:
        if before is not None:
            await before.wait()
        if reply.failure is not None and await self._is_said(job, reply.failure):
            await _insist(self._store.failed, job.id, reply.failure)
        else:
            await self._deliver(job, reply)

    @asynccontextmanager
    async def _lateness(self, job: Job) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives what says that it takes longer: once for all pictures of a place that wait for files."""
        told = False

        async def late() -> None:
            nonlocal told
            if told:
                return
            told = True
            self._late[job.place] += 1
            if self._late[job.place] == 1:
                sentence = texts(job.language)(sentences.TAKES_LONGER)
                try:
                    await outbox.send(self._bot, job.place, sentence, reply_to=job.message_id, silent=True)
                except AiogramError as error:
                    logger.info("Job %d: that it takes longer could not be told: %s", job.id, error)

        try:
            yield late
        finally:
            if told:
                self._late[job.place] -= 1
                if not self._late[job.place]:
                    del self._late[job.place]

    async def _tell_of_trouble(self, job: Job) -> None:
        """Say, without the database, that no caption comes just now."""
        try:
            sentence = texts(job.language)(sentences.OUT_OF_ORDER)
            await outbox.send(self._bot, job.place, sentence, reply_to=job.message_id)
        except AiogramError as error:
            logger.info("Job %d: the person could not be told: %s", job.id, error)

    async def _is_said(self, job: Job, failure: str) -> bool:
        """Whether the first of two parts failed for the same reason: a bad picture is told of once."""
        other = await self._store.other_part(job) if job.part == 2 else None
        return other is not None and (other.state, other.reason) == ("failed", failure)

    @asynccontextmanager
    async def _turn(self, user_id: int) -> AsyncIterator[None]:
        # The person's own share first: somebody with a hundred pictures must not fill the common queue.
        share = self._shares.setdefault(user_id, asyncio.Semaphore(self._settings.per_user_limit))
        async with share, self._all:
            yield

    async def _reply(self, job: Job, fetching: _Fetching) -> _Reply | float:
        """What is to be said; a number: its file cannot be had for so many seconds."""
        words = texts(job.language)
        if job.sending_at is not None and job.caption_id is not None:
            # Killed while the reply was on its way: see the module's docstring.
            return _Reply([words(sentences.INTERRUPTED)], show_keyboard(job.caption_id, words, job.id))
        try:
            if job.attempts > ATTEMPTS:
                raise Unanswerable(sentences.CRASHED, f"given up after {job.attempts - 1} starts")
            try:
                row = await self._caption(job, fetching)
            except _FileAway as away:
                return self._pause(job, away, fetching)
        except Unanswerable as outcome:
            logger.info("Job %d: %s", job.id, outcome.reason)
            sentence = words(outcome.sentence, megabytes=f"{self._settings.max_file_mb:g}", model=job.model)
            return _Reply([sentence], failure=outcome.reason)
        return self._caption_reply(row, job, words)

    @staticmethod
    def _caption_reply(row: CaptionRow, job: Job | None, words: Texts) -> _Reply:
        first = introduction(job, row.model, words)
        keyboard = caption_keyboard(row.id, words, job_id=None if job is None else job.id)
        return _Reply(caption_messages(row.to_caption(), words, introduction=first), keyboard)

    @staticmethod
    def _pause(job: Job, away: _FileAway, fetching: _Fetching) -> float:
        """Seconds until the file is asked for again. Raises Unanswerable when that is given up."""
        first = fetching.tries < len(FETCH_PAUSES)
        pause = FETCH_PAUSES[fetching.tries] if first else LONGEST_PAUSE
        fetching.tries += 1
        waited = asyncio.get_running_loop().time() - fetching.since
        if waited > FETCH_TIME or (away.refused and not first):
            raise Unanswerable(sentences.CANNOT_FETCH, str(away))
        wait = pause if away.wait is None else away.wait
        logger.info("Job %d: its file is asked for again in %.1f s (%s)", job.id, wait, away)
        return wait

    async def _caption(self, job: Job, fetching: _Fetching) -> CaptionRow:
        """The caption for a job: made before, or made now. Raises Unanswerable, NotStored, _FileAway."""
        if job.caption_id is not None and (row := await self._store.caption(job.caption_id)) is not None:
            return row
        options = job.decoding_options()
        model, version = await self._model(job)
        cached = await self._store.cached_caption(job.file_unique_id, model, version, options_key(options))
        if cached is not None:
            await self._use(job, cached, fetching)
            return cached
        async with self._fetched(job.file_id) as data:
            caption = await self._describe(data, options, model)
            width, height = await asyncio.to_thread(upright_size, data)
            picture = PictureFields(
                file_unique_id=job.file_unique_id,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
                width=width,
                height=height,
                data=data,
            )
            return await _insist(self._store.save_caption, job.id, picture=picture, caption=caption)

    async def _model(self, job: Job) -> tuple[str, Version]:
        """The model for a job, and its version: the default one when the chosen one is there no more."""
        default = self._settings.model
        for name in dict.fromkeys((job.model or default, default)):
            if job.part and name != job.model and name == job.compared_with:
                break  # the other part is by the default model
            try:
                return name, await self._version(name)
            except UnknownModel as error:
                logger.error("Job %d: %s", job.id, error)
            except EngineError as error:
                raise self._no_model(name, error) from error
        sentence = sentences.COMPARED_MODEL_GONE if job.part else sentences.OUT_OF_ORDER
        raise Unanswerable(sentence, f"there is no model {job.model}")

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

    def _no_model(self, name: str, error: EngineError) -> Unanswerable:
        logger.error("No caption: %s", error)
        usual = name == self._settings.model
        return Unanswerable(sentences.OUT_OF_ORDER if usual else sentences.MODEL_BROKEN, str(error))

    async def _use(self, job: Job, cached: CaptionRow, fetching: _Fetching) -> None:
        """Answer with a caption made before; the picture is kept when only this sender lets it be.

        Raises _FileAway for the first tries to fetch it.
        """
        picture = await self._store.picture(cached.picture_id)
        if picture is not None and picture.path is None and job.keeps_picture:
            try:
                async with self._fetched(job.file_id) as data:
                    await _insist(self._store.use_caption, job.id, cached.id, data=data)
                return
            except Unanswerable as outcome:  # the caption is at hand: it must not fail for this
                logger.info("Job %d: the picture cannot be kept: %s", job.id, outcome.reason)
            except _FileAway as away:
                if fetching.tries < len(FETCH_PAUSES):
                    raise
                logger.info("Job %d: the picture cannot be kept: %s", job.id, away)
        await _insist(self._store.use_caption, job.id, cached.id)

    async def _describe(self, data: bytes, options: DecodingOptions | None, model: str) -> Caption:
        for pause in (*BUSY_PAUSES, None):
            try:
                caption = await self._engine.caption(data, options=options, model=model)
                # Somebody else's captioner may call itself as it likes: here it is what was asked for.
                return replace(caption, model=model)
            except PictureError as error:
                raise Unanswerable(_REFUSALS[error.code], str(error)) from error
            except EngineBusy as error:
                if pause is None:
                    raise Unanswerable(sentences.BUSY, str(error)) from error
            except PictureTimeout as error:
                raise Unanswerable(sentences.TIMEOUT, str(error)) from error
            except WorkerCrashed as error:
                raise Unanswerable(sentences.CRASHED, str(error)) from error
            except (ModelNotLoaded, UnknownModel) as error:
                raise self._no_model(model, error) from error
            except EngineError as error:
                logger.error("No caption: %s", error)
                raise Unanswerable(sentences.OUT_OF_ORDER, str(error)) from error
            await asyncio.sleep(pause)
        raise AssertionError("the last pause is None")

    # --- fetching ---

    @asynccontextmanager
    async def _fetched(self, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a file, in memory while the block runs. Raises Unanswerable, _FileAway.

        No error of the HTTP client leaves this method: their texts hold the token.
        """
        limit = self._settings.max_file_bytes
        # Asked for anew at every try: the path it gives is valid for an hour only.
        with _fetch_errors(), single_attempt():
            file = await self._bot.get_file(file_id)
        if file.file_path is None or (file.file_size or 0) > limit:
            raise Unanswerable(sentences.TOO_LARGE, f"{file.file_size} bytes")
        async with self._room.of(file.file_size or limit):
            with _fetch_errors():
                data = await self._read(file.file_path, limit)
            yield data

    async def _read(self, file_path: str, limit: int) -> bytes:
        session = self._bot.session
        if session.api.is_local:
            path = Path(file_path)
            if (await asyncio.to_thread(path.stat)).st_size > limit:
                raise Unanswerable(sentences.TOO_LARGE, "too large on the disk")
            return await asyncio.to_thread(path.read_bytes)
        url = session.api.file_url(self._bot.token, file_path)
        data = io.BytesIO()  # which gives its bytes away without a copy
        async with aclosing(session.stream_content(url, timeout=FETCH_TIMEOUT)) as stream:
            async for chunk in stream:
                data.write(chunk)
                if data.tell() > limit:  # file_size may be missing, or wrong
                    raise Unanswerable(sentences.TOO_LARGE, f"more than {limit} bytes came")
        return data.getvalue()

    # --- replying ---

    async def _deliver(self, job: Job, reply: _Reply) -> None:
        """Send the reply and write down that it was sent. Raises NotStored, or TimeoutError after an hour."""
        messages = list(reply.messages)
        place, reply_to = job.place, cast("int | None", job.message_id)
        pause = 1.0
        sent: Message | None = None
        async with asyncio.timeout(DELIVERY_TIME):
            while messages:
                if sent is None:
                    await _insist(self._store.mark_reply_sending, job.id)
                try:
                    with single_attempt():
                        sent = await outbox.send(
                            self._bot,
                            place,
                            messages[0],
                            keyboard=reply.keyboard if len(messages) == 1 else None,
                            reply_to=reply_to,
                        )
                    messages.pop(0)
                    continue
                except TelegramForbiddenError as error:
                    if place == job.place and job.chat_id > 0:  # a private chat: this person blocked the bot
                        await _insist(self._store.deactivate, job.chat_id)
                    await _insist(self._store.failed, job.id, error.message)
                    return
                except TelegramBadRequest as error:
                    asker = await _insist(self._store.telegram_id, job.user_id)
                    if place == job.place and outbox.is_topic_gone(error) and is_person(asker):
                        # Elsewhere in the group nobody would know what it is about: to the person alone.
                        logger.warning("Job %d: nothing can be said in its topic: %s", job.id, error.message)
                        place, reply_to = Place(asker), None
                        messages = [texts(job.language)(sentences.TOPIC_GONE), *reply.messages]
                        continue
                    logger.warning("Job %d: the reply is refused: %s", job.id, error.message)
                    await _insist(self._store.failed, job.id, error.message)
                    return
                except (TelegramAPIError, ClientDecodeError) as error:
                    wait = float(error.retry_after) if isinstance(error, TelegramRetryAfter) else pause
                    pause = min(pause * 2, LONGEST_PAUSE)
                    surely_not_sent, name = surely_not_done(error), type(error).__name__
                if sent is None and surely_not_sent:
                    await _insist(self._store.reply_not_sent, job.id)
                logger.info("Job %d: the reply is tried again in %.1f s (%s)", job.id, wait, name)
                await asyncio.sleep(wait)
        try:
            if reply.failure is not None:
                await _insist(self._store.failed, job.id, reply.failure)
            elif sent is not None:
                await _insist(self._store.answered, job.id, sent.message_id)
        except StoreError as error:  # the person has the reply: the next start asks whether it came
            logger.error("Job %d is answered, which could not be written down: %s", job.id, error)

    # --- the place in the queue ---

    def _ahead(self, job: Job) -> int:
        for place, other in enumerate(self._line):
            if other == job.id:
                return place
        return 0

    @asynccontextmanager
    async def _place_told(self, job: Job) -> AsyncIterator[None]:
        """When many pictures are ahead, tell the chat how many, once for all its pictures that wait.

        The notice of a bot that was killed is gone on with.
        """
        many = self._ahead(job) >= self._settings.queue_notice
        if job.notice_message_id is None and (not many or job.place in self._noticed):
            yield
            return
        self._noticed.add(job.place)
        over = asyncio.Event()
        task = self._nursery.start(self._tell_place(job, over), name=f"queue notice in {job.chat_id}")
        try:
            yield
        finally:
            over.set()
            task.add_done_callback(lambda _: self._noticed.discard(job.place))

    async def _tell_place(self, job: Job, over: asyncio.Event) -> None:
        words = texts(job.language)
        shown, notice = 0, job.notice_message_id
        try:
            if notice is None:
                shown = self._ahead(job)
                sent = await outbox.send(
                    self._bot,
                    job.place,
                    words.plural(sentences.QUEUE_PLACE, shown),
                    reply_to=job.message_id,
                    silent=True,
                )
                notice = sent.message_id
                await self._write_notice_down(job, notice)
            while not over.is_set():
                try:
                    async with asyncio.timeout(NOTICE_PERIOD):
                        await over.wait()
                except TimeoutError:
                    place = self._ahead(job)
                    if place not in (shown, 0):
                        shown = place
                        with suppress(AiogramError):  # whatever it says: in the end it must go
                            await outbox.edit(
                                self._bot, job.place, notice, words.plural(sentences.QUEUE_PLACE, shown)
                            )
            await outbox.delete(self._bot, job.place, notice)
            await self._write_notice_down(job, None)
        except AiogramError as error:
            logger.debug("The queue notice in %s: %s", job.chat_id, error)

    async def _write_notice_down(self, job: Job, notice: int | None) -> None:
        try:
            await self._store.noticed(job.id, notice)
        except (StoreError, NotStored) as error:  # only a kill would make it matter
            logger.info("Job %d: its queue notice is not written down: %s", job.id, error)


@contextmanager
def _fetch_errors() -> Iterator[None]:
    """What goes wrong with a file, in words without the token. Raises Unanswerable, _FileAway."""
    try:
        yield
    except TelegramBadRequest as error:
        if "too big" in error.message.lower():
            raise Unanswerable(sentences.TOO_LARGE, "too big for the Bot API server") from None
        raise Unanswerable(sentences.CANNOT_FETCH, error.message) from None
    except TelegramRetryAfter as error:
        raise _FileAway("rate limit", wait=min(float(error.retry_after), 60.0)) from None
    except (TelegramNotFound, FileNotFoundError) as error:
        raise _FileAway(type(error).__name__, refused=True) from None
    except ClientResponseError as error:
        refused = 400 <= error.status < 500 and error.status not in (408, 409, 425, 429)
        raise _FileAway(f"{type(error).__name__} {error.status}", refused=refused) from None
    except (AiogramError, ClientError, TimeoutError, OSError) as error:
        raise _FileAway(type(error).__name__) from None


async def _insist(
    ask: Callable[_Arguments, Awaitable[_Result]], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """What a method of the store returns; it is called again while the database cannot be used.

    Raises StoreError when that lasts longer than STORE_PAUSES.
    """
    for pause in STORE_PAUSES:
        try:
            return await ask(*args, **kwargs)
        except StoreError as error:
            logger.warning("Trying again in %.0f s: %s", pause, error)
        await asyncio.sleep(pause)
    return await ask(*args, **kwargs)
