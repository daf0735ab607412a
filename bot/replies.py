"""How a caption looks in the chat: its text, in an order that suits a screen reader, and its buttons."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.texts import Texts, sentences
from inference.types import Caption

# Telegram's limit is 4096 after entities are parsed. The difference is room for the line with the marks, so
# that pressing a button never moves text from one message to another.
MESSAGE_LIMIT = 3900

NOTES = {
    "first_frame": sentences.NOTE_FIRST_FRAME,
    "low_confidence": sentences.NOTE_LOW_CONFIDENCE,
    "no_reading": sentences.NOTE_NO_READING,
}

RATE = re.compile(r"r:(\d{1,18}):([1-5])")
CORRECT = re.compile(r"c:(\d{1,18})")
VARIANT = re.compile(r"v:(\d{1,18})")
SHOW = re.compile(r"s:(\d{1,18})")
CONSENT = re.compile(r"p:([01])(:start)?")


@dataclass(frozen=True, slots=True)
class Marks:
    """What people think of a caption: one person's mark (private chats), or the mean of all (groups)."""

    own: int | None = None  # 1..5
    mean: float | None = None  # 1..5
    people: int = 0


NO_MARKS = Marks()


def length(text: str) -> int:
    """Telegram's measure of a text: UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def wrap(text: str, limit: int = MESSAGE_LIMIT) -> list[str]:
    """Pieces of at most ``limit`` (>= 2) UTF-16 units, cut after a line, a sentence or a word where possible.

    Nothing but the white space at the cuts is lost.
    """
    pieces = []
    while length(text) > limit:
        head = _head(text, limit)
        cut = max(head.rfind("\n"), 0)
        # A cut in the first half would leave half-empty messages: the next weaker boundary is better then.
        for boundary in (r"[.!?…](?=\s)", r"\S(?=\s)"):
            if cut >= len(head) // 2:
                break
            cut = max((match.end() for match in re.finditer(boundary, head)), default=cut)
        cut = cut or len(head)
        pieces.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [piece for piece in (*pieces, text) if piece]


def _head(text: str, limit: int) -> str:
    # Cutting the encoded form could split a surrogate pair: "ignore" drops the half.
    return text.encode("utf-16-le")[: limit * 2].decode("utf-16-le", errors="ignore")


def caption_messages(caption: Caption, texts: Texts, marks: Marks = NO_MARKS) -> list[str]:
    """The reply as HTML, one string a message, each within Telegram's limit; the marks are in the last."""
    paragraphs: list[tuple[Literal["bold", "plain"], str]] = []
    if caption.summary.strip():
        paragraphs.append(("bold", caption.summary.strip()))
    if caption.text.strip():
        paragraphs.append(("plain", caption.text.strip()))
    words = "\n".join(block.strip() for block in caption.words if block.strip())
    if words:
        paragraphs.append(("plain", f"{texts(sentences.WORDS_ON_PICTURE)}\n{words}"))
    elif "no_reading" not in caption.notes:
        paragraphs.append(("plain", texts(sentences.NO_WORDS)))
    paragraphs += [("plain", texts(NOTES[note])) for note in caption.notes if note in NOTES]

    messages: list[str] = []
    room = 0
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
        mean = f"{marks.mean:.1f}"
        if texts.language == "ru":
            mean = mean.replace(".", ",")
        return texts.plural(sentences.MEAN_MARK, marks.people, mean=mean)
    return ""


def caption_keyboard(caption_id: int, texts: Texts, chosen: int | None = None) -> InlineKeyboardMarkup:
    """Marks 1 to 5 in words and stars (``chosen`` ticked), then "correct" and "another version"."""
    marks = [
        InlineKeyboardButton(
            text=f"{'✓ ' if mark == chosen else ''}{mark} {'★' * mark} {texts(meaning)}",
            callback_data=f"r:{caption_id}:{mark}",
        )
        for mark, meaning in enumerate(sentences.MARKS, start=1)
    ]
    work = [
        InlineKeyboardButton(text=texts(sentences.CORRECT), callback_data=f"c:{caption_id}"),
        InlineKeyboardButton(text=texts(sentences.ANOTHER), callback_data=f"v:{caption_id}"),
    ]
    # Five in one row would be cut to a letter or two on a telephone.
    return InlineKeyboardMarkup(inline_keyboard=[marks[:3], marks[3:], work])


def show_keyboard(caption_id: int, texts: Texts) -> InlineKeyboardMarkup:
    """One button that sends the caption once more."""
    return _column([(texts(sentences.SHOW_AGAIN), f"s:{caption_id}")])


def privacy_page(consent: bool, texts: Texts) -> str:
    """What is kept, as HTML."""
    return texts(sentences.PRIVACY, state=_consent_state(consent, texts))


def greeting(consent: bool, texts: Texts) -> str:
    """What the bot is, and whether it may keep pictures, as HTML."""
    question = texts(sentences.CONSENT_QUESTION, state=_consent_state(consent, texts))
    return f"{texts(sentences.START)}\n\n{question}"


def _consent_state(consent: bool, texts: Texts) -> str:
    return texts(sentences.CONSENT_ON if consent else sentences.CONSENT_OFF)


def consent_keyboard(consent: bool, texts: Texts, *, start: bool = False) -> InlineKeyboardMarkup:
    """The button that changes whether pictures may be kept; ``start``: it stands under the greeting."""
    text, data = (sentences.DISALLOW, "p:0") if consent else (sentences.ALLOW, "p:1")
    return _column([(texts(text), f"{data}:start" if start else data)])


def _column(buttons: Iterable[tuple[str, str]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=text, callback_data=data)] for text, data in buttons]
    )
