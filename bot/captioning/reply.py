"""The reply to a picture: a caption with its buttons, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiogram.types import InlineKeyboardMarkup

from bot.feedback.tables import CaptionRow, Job
from bot.replies import caption_keyboard, caption_messages, introduction, show_keyboard
from bot.texts import Texts, sentences, texts


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said about one picture; the keyboard stands under the last message."""

    messages: Sequence[str]  # HTML
    keyboard: InlineKeyboardMarkup | None = None
    failure: str | None = None  # why it is no caption


def caption_reply(row: CaptionRow, job: Job | None, words: Texts) -> Reply:
    """A caption with its buttons; ``job``: the one that it answers."""
    first = introduction(job, row.model, words)
    keyboard = caption_keyboard(row.id, words, job_id=None if job is None else job.id)
    return Reply(caption_messages(row.to_caption(), words, introduction=first), keyboard)


def interruption(job: Job) -> Reply | None:
    """The note about a reply that may have gone out before the bot was killed; None: none was on its way."""
    if job.sending_at is None or job.caption_id is None:
        return None
    words = texts(job.language)
    return Reply([words(sentences.INTERRUPTED)], show_keyboard(job.caption_id, words, job.id))
