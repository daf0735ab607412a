"""The reply to a picture: its caption, in an order that suits a screen reader, with buttons; or why not.

Whoever listens hears all of it, so nothing is said twice: the doubt, where there is one; the description,
which has the words in their places; the words that it did not quote; what else must be known.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiogram.types import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup

from bot.captioning.outcomes import Failure
from bot.feedback.tables import CaptionRow, Job, Shown, TurnRow
from bot.messages.buttons import (
    column,
    correct_data,
    joke_data,
    rate_data,
    show_data,
    variant_data,
    words_data,
)
from bot.messages.lengths import MESSAGE_LIMIT, length, wrap
from bot.texts import Texts, sentences, texts
from inference.common.quoting import unquoted
from inference.common.types import Caption

COPIED = 256  # characters that a button puts on the clipboard, at most: Telegram's limit
_DOUBT = "low_confidence"
_NOTES = {
    "first_frame": sentences.NOTE_FIRST_FRAME,
    "first_page": sentences.NOTE_FIRST_PAGE,
    "partial": sentences.NOTE_PARTIAL,
    "no_reading": sentences.NOTE_NO_READING,
    "unreadable": sentences.NOTE_UNREADABLE,
    "upside_down": sentences.NOTE_UPSIDE_DOWN,
    "own_reading": sentences.NOTE_OWN_READING,
    "other_language": sentences.NOTE_OTHER_LANGUAGE,
}
# Of an answer: the description has said the rest.
_ANSWER_NOTES = frozenset({"own_reading", "other_language"})


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
    failure: Failure | None = None  # why it is no caption
    text: Shown | None = None  # what those of the messages are about that have no buttons


def caption_reply(row: CaptionRow, job: Job | None, words: Texts, *, explained: bool = False) -> Reply:
    """A caption with its buttons; ``job``: the one that it answers; ``explained``: see caption_keyboard."""
    first = introduction(job, row.model, words)
    job_id = None if job is None else job.id
    keyboard = caption_keyboard(row.id, row.words, words, job_id=job_id, explained=explained)
    messages = caption_messages(row.to_caption(), words, introduction=first)
    return Reply(messages, keyboard, text=Shown("text", row.id, job_id))


def answer_reply(turn: TurnRow, words: Texts) -> Reply:
    """The answer to a question."""
    known = (_NOTES[note] for note in turn.notes if note in _ANSWER_NOTES)
    said = "\n\n".join([turn.answer, *map(words, known)])
    messages = [html.escape(piece, quote=False) for piece in wrap(said)]
    return Reply(messages, text=Shown("text", turn.caption_id, turn.job_id))


def interruption(job: Job, caption_id: int | None) -> Reply | None:
    """The note about a reply that may have gone out, before the bot was killed, Telegram's answer was lost or
    the store was restored; its button shows this caption, or the answer to the job's question about it. None:
    nothing was on its way.
    """
    if job.sending_at is None or caption_id is None:
        return None
    words = texts(job.language)
    label = words(sentences.SHOW_ANSWER if job.kind == "question" else sentences.SHOW_AGAIN)
    return Reply([words(sentences.INTERRUPTED)], column([(label, show_data(caption_id, job.id))]))


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
    messages = [introduction] if introduction else []
    room = MESSAGE_LIMIT - length(introduction) if introduction else 0
    for paragraph in _paragraphs(caption, texts):
        for piece in wrap(paragraph):
            escaped = html.escape(piece, quote=False)
            if length(piece) + 2 <= room:
                messages[-1] += f"\n\n{escaped}"
                room -= length(piece) + 2
            else:
                messages.append(escaped)
                room = MESSAGE_LIMIT - length(piece)
    if line := marks_line(marks, texts):
        messages[-1] += f"\n\n{line}"
    return messages


def _paragraphs(caption: Caption, texts: Texts) -> Iterator[str]:
    if _DOUBT in caption.notes:
        yield texts(sentences.DOUBT)
    summary = caption.summary.strip()
    description = caption.text.strip() or summary
    yield description
    words = picture_words(caption.words)
    unread = "unreadable" in caption.notes
    if words:
        unsaid = unquoted(description, words)
        heading = sentences.WORDS_ON_PICTURE if unsaid == words else sentences.OTHER_WORDS
        if unsaid:
            yield "\n".join([texts(heading), *unsaid])
    elif unread:
        yield texts(sentences.WORDS_UNREADABLE)
    # The summary tells of missing words by itself.
    elif "no_reading" not in caption.notes and not (description and description == summary):
        yield texts(sentences.NO_WORDS)
    yield from (
        texts(_NOTES[note]) for note in caption.notes if note in _NOTES and (words or note != "unreadable")
    )


def picture_words(blocks: Sequence[str]) -> list[str]:
    """The blocks of words read on a picture, without those of nothing."""
    return [block.strip() for block in blocks if block.strip()]


def marks_line(marks: Marks, texts: Texts) -> str:
    """The line that says how the caption was rated; empty when nobody did."""
    if marks.own is not None:
        return texts(sentences.YOUR_MARK, mark=marks.own, meaning=texts(sentences.MARKS[marks.own - 1]))
    if marks.mean is not None and marks.people:
        return texts.plural(sentences.MEAN_MARK, marks.people, mean=texts.decimal(marks.mean, 1))
    return ""


def caption_keyboard(
    caption_id: int,
    blocks: Sequence[str],
    texts: Texts,
    chosen: int | None = None,
    *,
    job_id: int | None = None,
    explained: bool = False,
) -> InlineKeyboardMarkup:
    """Marks 1 to 5 in words and stars (``chosen`` ticked), "correct" and "another version", the words, the
    joke.

    ``blocks``: of the words read on the picture; ``job_id``: of the job that the caption answers;
    ``explained``: a model can say what the joke is.
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
    rows = [marks[:3], marks[3:], work]
    if words := "\n".join(picture_words(blocks)):
        rows.append([_words_button(words, caption_id, texts, job_id)])
    if explained:
        joke = texts(sentences.WHERE_IS_THE_JOKE)
        rows.append([InlineKeyboardButton(text=joke, callback_data=joke_data(caption_id, job_id))])
    return InlineKeyboardMarkup(inline_keyboard=rows)


def _words_button(words: str, caption_id: int, texts: Texts, job_id: int | None) -> InlineKeyboardButton:
    """Copies the words, or sends them alone where they are too long for that."""
    if length(words) <= COPIED:
        return InlineKeyboardButton(text=texts(sentences.COPY_WORDS), copy_text=CopyTextButton(text=words))
    return InlineKeyboardButton(
        text=texts(sentences.SEND_WORDS), callback_data=words_data(caption_id, job_id)
    )
