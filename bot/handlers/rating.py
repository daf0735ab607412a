"""The marks 1 to 5 under a caption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from aiogram import Bot, Router
from aiogram.types import CallbackQuery

from bot.captioning.reply import Marks, caption_keyboard, caption_messages, introduction
from bot.common.nursery import Nursery
from bot.feedback.database import NotStored
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import Pressed, answer, edit, labels_shown, language_shown, once_saved
from bot.messages import outbox
from bot.messages.buttons import Button
from bot.messages.pace import LONGEST_WAIT, Pacer
from bot.texts import Texts, sentences


class _Edits:
    """One edit of a message at a time, so that an older mean never overwrites a newer one.

    Of those that wait one is enough: what it shows is read when its turn has come.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()
        self._waiting: set[tuple[int, int]] = set()

    @asynccontextmanager
    async def turn(self, pacer: Pacer, chat_id: int, message_id: int) -> AsyncIterator[bool]:
        """Gives whether the message is to be edited now, and not by somebody who waits for that already."""
        key = chat_id, message_id
        if key in self._waiting:
            yield False
            return
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with AsyncExitStack() as stack:
            self._waiting.add(key)
            try:
                await stack.enter_async_context(lock)
                await stack.enter_async_context(pacer.turn(chat_id, patience=LONGEST_WAIT))
            finally:
                self._waiting.discard(key)
            yield True


def router() -> Router:
    """A new router."""
    made = Router(name="rating")
    edits = _Edits()

    async def rate(
        callback: CallbackQuery,
        *,
        press: Button,
        bot: Bot,
        store: Store,
        user: User,
        words: Texts,
        nursery: Nursery,
        pacer: Pacer,
        marked: Callable[[int], None],
    ) -> None:
        """Save the mark, whatever becomes of Telegram's answers, and show it in the message itself."""
        caption_id, mark, job_id = press.caption_id, int(press.value), press.shown.job_id
        row = await store.captions.get(caption_id)
        if row is None:
            await answer(callback, words(sentences.CAPTION_GONE), alert=True)
            return
        try:
            await store.marks.rate(user.id, caption_id, mark)
        except NotStored:  # erased this very moment
            await answer(callback, words(sentences.CAPTION_GONE), alert=True)
            return
        marked(mark)
        # Once it is true, and beside the rest of the work: a press that waits for its answer keeps nobody up.
        nursery.start(answer(callback, words(sentences.MARK_TAKEN, mark=mark)), name="answer to a mark")
        message = callback.message
        if message is None:
            return
        with once_saved():
            labels = labels_shown(callback)
            shown = language_shown(labels, words)
            explained = shown(sentences.WHERE_IS_THE_JOKE) in labels
            job = await store.jobs.get(job_id) if job_id is not None else None
            async with edits.turn(pacer, message.chat.id, message.message_id) as mine:
                if not mine:
                    return
                if message.chat.id > 0:
                    own = await store.marks.rating(user.id, caption_id)
                    marks = Marks(own=own)
                else:
                    mean, people = await store.marks.mean_rating(caption_id)
                    own, marks = None, Marks(mean=mean, people=people)
                await edit(
                    bot,
                    outbox.place_of(message),
                    message.message_id,
                    caption_messages(
                        row.to_caption(), shown, marks, introduction=introduction(job, row.model, shown)
                    )[-1],
                    caption_keyboard(
                        caption_id,
                        row.words,
                        shown,
                        own,
                        job_id=None if job is None else job.id,
                        explained=explained,
                    ),
                )

    made.callback_query.register(rate, Pressed("rate"))
    return made
