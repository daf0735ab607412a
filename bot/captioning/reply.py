"""The reply to a picture: its caption, in an order that suits a screen reader, with buttons; or why not."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.feedback.tables import CaptionRow, Job
from bot.messages.buttons import column, correct_data, rate_data, show_data, variant_data
from bot.messages.lengths import MESSAGE_LIMIT, length, wrap
from bot.texts import Texts, sentences, texts
from inference.common.types import Caption

NOTES = {
    "first_frame": sentences.NOTE_FIRST_FRAME,
    "first_page": sentences.NOTE_FIRST_PAGE,
    "partial": sentences.NOTE_PARTIAL,
    "low_confidence": sentences.NOTE_LOW_CONFIDENCE,
    "no_reading": sentences.NOTE_NO_READING,
    "unreadable": sentences.NOTE_UNREADABLE,
    "upside_down": sentences.NOTE_UPSIDE_DOWN,
}


@dataclass(frozen=True, slots=True)
class Marks:
    """What people think of a caption: one person's mark (private chats), or the mean of all (groups)."""

    own: int | None = None  # 1..5
    mean: float | None = None  # 1..5
    people: int = 0


NO_MARKS = Marks()


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


def introduction(job: Job | None, model: str, texts: Texts) -> str:
    """What must be known before a caption by ``model`` is heard, as HTML; empty when nothing must.

    That the model asked for is not there, and whose description this is where several are compared.
    """
    if job is None:
        return ""
    said = []
    if job.model not in ("", model):
        said.append(texts(sentences.MODEL_GONE, model=job.model))
    if job.part:
        parts = 1 + len(job.compared_with or ())
        said.append(texts(sentences.PART_BY, part=job.part, parts=parts, model=model))
    elif job.compared_with is not None:
        said.append(texts(sentences.VARIANT_BY, model=model))
    return " ".join(said)


def caption_messages(
    caption: Caption, texts: Texts, marks: Marks = NO_MARKS, *, introduction: str = ""
) -> list[str]:
    """The reply as HTML, one string a message, each within Telegram's limit; the marks are in the last."""
    paragraphs: list[tuple[Literal["bold", "plain"], str]] = []
    if caption.summary.strip():
        paragraphs.append(("bold", caption.summary.strip()))
    if caption.text.strip():
        paragraphs.append(("plain", caption.text.strip()))
    words = "\n".join(block.strip() for block in caption.words if block.strip())
    if words:
        paragraphs.append(("plain", f"{texts(sentences.WORDS_ON_PICTURE)}\n{words}"))
    elif "unreadable" in caption.notes:
        paragraphs.append(("plain", texts(sentences.WORDS_UNREADABLE)))
    elif "no_reading" not in caption.notes:
        paragraphs.append(("plain", texts(sentences.NO_WORDS)))
    notes = [note for note in caption.notes if note in NOTES and (words or note != "unreadable")]
    paragraphs += [("plain", texts(NOTES[note])) for note in notes]

    messages = [introduction] if introduction else []
    room = MESSAGE_LIMIT - length(introduction) if introduction else 0
    for style, paragraph in paragraphs:
        for piece in wrap(paragraph):
            escaped = html.escape(piece, quote=False)
            rendered = f"<b>{escaped}</b>" if style == "bold" else escaped
            if length(piece) + 2 <= room:
                messages[-1] += f"\n\n{rendered}"
                room -= length(piece) + 2
            else:
                messages.append(rendered)
                room = MESSAGE_LIMIT - length(piece)
    if line := marks_line(marks, texts):
        messages[-1] += f"\n\n{line}"
    return messages


def marks_line(marks: Marks, texts: Texts) -> str:
    """The line that says how the caption was rated; empty when nobody did."""
    if marks.own is not None:
        return texts(sentences.YOUR_MARK, mark=marks.own, meaning=texts(sentences.MARKS[marks.own - 1]))
    if marks.mean is not None and marks.people:
        return texts.plural(sentences.MEAN_MARK, marks.people, mean=texts.decimal(marks.mean, 1))
    return ""


def caption_keyboard(
    caption_id: int, texts: Texts, chosen: int | None = None, *, job_id: int | None = None
) -> InlineKeyboardMarkup:
    """Marks 1 to 5 in words and stars (``chosen`` ticked), then "correct" and "another version".

    ``job_id``: of the job that the caption answers.
    """
    marks = [
        InlineKeyboardButton(
            text=f"{'✓ ' if mark == chosen else ''}{mark} {'★' * mark} {texts(meaning)}",
            callback_data=rate_data(caption_id, mark, job_id),
        )
        for mark, meaning in enumerate(sentences.MARKS, start=1)
    ]
    work = [
        InlineKeyboardButton(text=texts(sentences.CORRECT), callback_data=correct_data(caption_id, job_id)),
        InlineKeyboardButton(text=texts(sentences.ANOTHER), callback_data=variant_data(caption_id, job_id)),
    ]
    # Five in one row would be cut to a letter or two on a telephone.
    return InlineKeyboardMarkup(inline_keyboard=[marks[:3], marks[3:], work])


def show_keyboard(caption_id: int, texts: Texts, job_id: int) -> InlineKeyboardMarkup:
    """One button that sends the caption of a job once more."""
    return column([(texts(sentences.SHOW_AGAIN), show_data(caption_id, job_id))])
