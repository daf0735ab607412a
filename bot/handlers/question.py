"""Questions about a picture: a text in reply to its description, or the button that asks for the joke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiogram import F, Router
from aiogram.filters import Filter
from aiogram.types import CallbackQuery, MaybeInaccessibleMessageUnion, Message

from bot.captioning import Captioning, QueueFull
from bot.captioning.models import Catalogue
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.database import NotStored
from bot.feedback.states import JobState
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Choice, Job, Shown, User
from bot.feedback.usage import DayFull
from bot.handlers.accepting import refusal
from bot.handlers.common import Pressed, Where, answer, reply
from bot.messages import outbox
from bot.messages.buttons import Button
from bot.messages.targets import Found, is_private
from bot.middlewares.buttons import Gate
from bot.texts import Texts, sentences
from inference.common.types import JOKE


class AsksAbout(Filter):
    """A text in reply to what the bot said of a picture; gives ``about``.

    In a group people also talk to each other under a description: where nobody can answer, nobody is told so.
    """

    async def __call__(self, message: Message, gate: Gate, catalogue: Catalogue) -> bool | dict[str, Any]:
        if (message.text or "").startswith("/") or (about := await gate.asked_about(message)) is None:
            return False
        if not is_private(message) and not await catalogue.talkers():
            return False
        return {"about": about}


def router() -> Router:
    """A new router."""
    made = Router(name="question")
    made.message.register(ask, Where(F.text), AsksAbout())
    made.callback_query.register(joke, Pressed("joke"))
    return made


async def ask(
    message: Message,
    *,
    about: Shown,
    user: User,
    words: Texts,
    store: Store,
    settings: Settings,
    catalogue: Catalogue,
    captioning: Captioning,
) -> None:
    """Have the question answered."""
    asking = _Asking(user, words, store, settings, catalogue, captioning)
    try:
        job, created = await asking.accept(about, (message.text or "").strip(), message)
    except _Refused as refused:
        await reply(message, refused.sentence)
        return
    if created:  # else the update came twice
        asking.submit(job)


async def joke(
    callback: CallbackQuery,
    *,
    press: Button,
    user: User,
    words: Texts,
    store: Store,
    settings: Settings,
    catalogue: Catalogue,
    captioning: Captioning,
    nursery: Nursery,
) -> None:
    """Have the joke explained; what was explained under this message before is said again."""
    message = callback.message
    if message is None:
        await answer(callback)
        return
    asking = _Asking(user, words, store, settings, catalogue, captioning)
    try:
        job, created = await asking.accept(press.shown, JOKE, message)
    except _Refused as refused:
        await answer(callback, refused.sentence, alert=True)
        return
    nursery.start(answer(callback, words(sentences.JOKE_STARTED)), name="answer to a joke's button")
    if created or (job.state == JobState.FAILED and await store.jobs.retry(job.id)):
        asking.submit(job)
    elif job.state == JobState.ANSWERED and (turn := await store.turns.of_job(job.id)) is not None:
        await captioning.show_answer(
            turn, place=job.place, reply_to=message.message_id, language=words.language
        )


class _Refused(Exception):  # noqa: N818 - an outcome
    """A question will not be answered; ``sentence`` says why, as HTML."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class _Asking:
    """A person who asks, and whoever has to do with that."""

    user: User
    words: Texts
    store: Store
    settings: Settings
    catalogue: Catalogue
    captioning: Captioning

    async def accept(
        self, about: Shown, question: str, message: MaybeInaccessibleMessageUnion
    ) -> tuple[Job, bool]:
        """The job of the question, and whether it is new. ``message``: will be answered. Raises _Refused."""
        row = await self.store.captions.get(about.caption_id or 0)
        if row is None:
            raise _Refused(self.words(sentences.CAPTION_GONE))
        talker = await self._talker(row)
        await self._refuse_too_much(row, question)
        shown = None if about.job_id is None else await self.store.jobs.get(about.job_id)
        source = shown or await self.store.jobs.of_caption(row.id, message.chat.id, message.message_id)
        if source is None:
            raise _Refused(self.words(sentences.VARIANT_NO_PICTURE))
        try:
            (accepted,) = await self.captioning.accept(
                Found(source.file_id, source.file_unique_id, size=None),
                user=self.user,
                place=outbox.place_of(message, source.place),
                message_id=message.message_id,
                sender=source,
                language=self.words.language,
                kind="question",
                question=question,
                about_caption_id=row.id,
                chosen=[Choice(talker)],
            )
        except (QueueFull, DayFull) as full:
            raise _Refused(refusal(full, self.words)) from full
        except NotStored as error:
            raise _Refused(self.words(sentences.CAPTION_GONE)) from error
        return accepted

    async def _talker(self, row: CaptionRow) -> str:
        """Who is to answer. Raises _Refused."""
        if (name := await self.catalogue.talker_for(self.user, row)) is not None:
            return name
        if not (talkers := await self.catalogue.talkers()):
            raise _Refused(self.words(sentences.NOBODY_TALKS))
        names = ", ".join(talkers)
        raise _Refused(self.words(sentences.CANNOT_TALK, model=row.model, talkers=names))

    async def _refuse_too_much(self, row: CaptionRow, question: str) -> None:
        """Raises _Refused for a question too long, or one too many."""
        longest, most = self.settings.question_length, self.settings.questions_per_picture
        if len(question) > longest:
            raise _Refused(self.words.plural(sentences.QUESTION_TOO_LONG, longest))
        if await self.store.turns.asked(self.user.id, row.id) >= most:
            raise _Refused(self.words.plural(sentences.ASKED_ENOUGH, most))

    def submit(self, job: Job) -> None:
        """Have it answered behind what this person asked here before."""
        self.captioning.submit([job], lane=f"questions {job.chat_id} {job.user_id}")
