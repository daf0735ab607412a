"""Brings replies to their chats: each once, whatever the network does and wherever the bot is killed.

Where nobody can know whether a caption arrived, what is sent is a note with a button that shows it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import cast

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
)
from aiogram.types import InlineKeyboardMarkup, Message

from bot.captioning.outcomes import Failure
from bot.captioning.patience import Patience
from bot.captioning.reply import Reply, interruption
from bot.captioning.watcher import Watcher
from bot.common.accounts import is_person
from bot.feedback.jobs import Jobs
from bot.feedback.messages import MessageKey
from bot.feedback.people import People
from bot.feedback.states import JobState
from bot.feedback.tables import Job, Place
from bot.messages import outbox
from bot.messages.failures import surely_not_done
from bot.messages.pace import Pacer
from bot.middlewares.buttons import Gate
from bot.middlewares.requests import single_attempt
from bot.texts import sentences, texts

logger = logging.getLogger(__name__)

DELIVERY_TIME = 3600.0  # seconds for which a finished reply is kept trying; then the next start tries
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two tries; each is twice as long as the one before


class _Undeliverable(Exception):  # noqa: N818 - an outcome
    """Telegram refuses the reply for good; the text says why."""


@dataclass(slots=True)
class _Parcel:
    """A reply on its way: what is still to be sent, and where."""

    messages: list[str]  # HTML
    keyboard: InlineKeyboardMarkup | None  # under the last one
    place: Place
    reply_to: int | None
    pause: float  # seconds before the next try
    sent: Message | None = None  # the last one that arrived


class Delivery:
    """Sends replies and writes down what became of them."""

    def __init__(
        self,
        bot: Bot,
        jobs: Jobs,
        people: People,
        *,
        gate: Gate,
        patience: Patience,
        pacer: Pacer,
        watcher: Watcher,
    ) -> None:
        self._bot = bot
        self._gate = gate
        self._pacer = pacer
        self._watcher = watcher
        self._patience = patience
        self._jobs = jobs
        self._people = people

    async def show(self, reply: Reply, place: Place, *, reply_to: int | None) -> Message:
        """Send a reply that answers no job; returns its last message, which has the buttons."""
        *firsts, last = reply.messages
        for message in firsts:
            await self._send(reply, place, message, reply_to=reply_to)
        return await self._send(reply, place, last, keyboard=reply.keyboard, reply_to=reply_to)

    async def _send(
        self,
        reply: Reply,
        place: Place,
        message: str,
        *,
        keyboard: InlineKeyboardMarkup | None = None,
        reply_to: int | None,
    ) -> Message:
        """Send a message of the reply. What has no buttons is written down here, that it may be answered."""
        sent = await outbox.send(self._bot, place, message, keyboard=keyboard, reply_to=reply_to)
        if keyboard is None and reply.text is not None:
            await self._gate.write_down(MessageKey.of(sent.chat.id, sent.message_id), reply.text)
        return sent

    async def deliver(self, job: Job, reply: Reply) -> bool:
        """Send the reply and write down what became of it; False: Telegram refuses it for good.

        Raises NotStored, or TimeoutError after DELIVERY_TIME.
        """
        if reply.failure is not None and await self._is_said(job, reply.failure):
            await self._fail(job, reply.failure)
            return True
        parcel = _Parcel(list(reply.messages), reply.keyboard, job.place, job.message_id, FIRST_PAUSE)
        async with asyncio.timeout(DELIVERY_TIME):
            try:
                while parcel.messages:
                    await self._send_next(job, reply, parcel)
            except _Undeliverable as outcome:
                await self._patience.insist(job, self._jobs.failed, job.id, str(outcome), "undeliverable")
                return False
        await self._write_down(job, reply, cast("Message", parcel.sent))
        return True

    async def _fail(self, job: Job, failure: Failure) -> None:
        await self._patience.insist(job, self._jobs.failed, job.id, failure.reason, failure.kind)

    async def _is_said(self, job: Job, failure: Failure) -> bool:
        """Whether a part before this one failed for the same reason: a bad picture is told of once."""
        if job.part < 2:
            return False
        earlier = await self._patience.insist(job, self._jobs.earlier_parts, job)
        return any((one.state, one.reason) == (JobState.FAILED, failure.reason) for one in earlier)

    async def _send_next(self, job: Job, reply: Reply, parcel: _Parcel) -> None:
        """Try to send the parcel's next message; what failed for now stays in it. Raises _Undeliverable."""
        try:
            # What waits for its turn is not about to be sent: a bot killed meanwhile has sent nothing.
            async with self._pacer.turn(parcel.place.chat_id):
                await self._patience.insist(job, self._jobs.mark_reply_sending, job.id)
                with single_attempt():
                    parcel.sent = await self._send(
                        reply,
                        parcel.place,
                        parcel.messages[0],
                        keyboard=parcel.keyboard if len(parcel.messages) == 1 else None,
                        reply_to=parcel.reply_to,
                    )
            parcel.messages.pop(0)
        except TelegramForbiddenError as error:
            if parcel.place == job.place and job.chat_id > 0:  # a private chat: this person blocked the bot
                await self._patience.insist(job, self._people.deactivate, job.chat_id)
            raise _Undeliverable(error.message) from error
        except TelegramBadRequest as error:
            await self._redirect(job, reply, parcel, error)
        except (TelegramAPIError, ClientDecodeError) as error:
            if not surely_not_done(error):
                await self._doubt(job, reply, parcel)
            elif parcel.sent is None:
                await self._patience.insist(job, self._jobs.reply_not_sent, job.id)
            if not isinstance(error, TelegramRetryAfter):  # else the chat's line is closed for as long
                await self._pause(job, parcel, error)

    async def _redirect(self, job: Job, reply: Reply, parcel: _Parcel, error: TelegramBadRequest) -> None:
        """Where the topic is gone, all of it goes to the person alone. Raises _Undeliverable."""
        asker = await self._patience.insist(job, self._people.telegram_id, job.user_id)
        if parcel.place != job.place or not outbox.is_topic_gone(error) or not is_person(asker):
            logger.warning("Job %d: the reply is refused: %s", job.id, error.message)
            raise _Undeliverable(error.message) from error
        # Elsewhere in the group nobody would know what it is about.
        logger.warning("Job %d: nothing can be said in its topic: %s", job.id, error.message)
        parcel.place, parcel.reply_to = Place(asker), None
        parcel.messages = [texts(job.language)(sentences.TOPIC_GONE), *reply.messages]

    async def _doubt(self, job: Job, reply: Reply, parcel: _Parcel) -> None:
        """What is left of a caption or an answer may have arrived: the note about that takes its place.

        What is neither is sent again: hearing it twice is better than never.
        """
        self._watcher.answer_lost()
        doubted = await self._patience.insist(job, self._jobs.answer_lost, job.id)
        caption_id = None if reply.text is None else reply.text.caption_id
        if (note := interruption(doubted, caption_id)) is not None:
            logger.warning("Job %d: nobody knows whether its reply arrived", job.id)
            parcel.messages, parcel.keyboard = list(note.messages), note.keyboard

    async def _pause(self, job: Job, parcel: _Parcel, error: TelegramAPIError | ClientDecodeError) -> None:
        """Wait before the next try."""
        wait, parcel.pause = parcel.pause, min(parcel.pause * 2, LONGEST_PAUSE)
        logger.info("Job %d: the reply is tried again in %.1f s (%s)", job.id, wait, type(error).__name__)
        await asyncio.sleep(wait)

    async def _write_down(self, job: Job, reply: Reply, sent: Message) -> None:
        if reply.failure is not None:
            await self._fail(job, reply.failure)
        else:
            await self._patience.insist(job, self._jobs.answered, job.id, sent.message_id)
