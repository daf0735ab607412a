"""How a caption looks in the chat: its text, in an order that suits a screen reader, and its buttons."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot import models
from bot.buttons import (
    NONE,
    TURN,
    compare_data,
    consent_data,
    correct_data,
    language_data,
    model_data,
    rate_data,
    show_data,
    variant_data,
)
from bot.feedback.tables import Job, User
from bot.texts import Html, Texts, sentences
from inference.common.types import Caption

# Telegram's limit is 4096 after entities are parsed. The difference is room for the line with the marks, so
# that pressing a button never moves text from one message to another.
MESSAGE_LIMIT = 3900

NOTES = {
    "first_frame": sentences.NOTE_FIRST_FRAME,
    "first_page": sentences.NOTE_FIRST_PAGE,
    "partial": sentences.NOTE_PARTIAL,
    "low_confidence": sentences.NOTE_LOW_CONFIDENCE,
    "no_reading": sentences.NOTE_NO_READING,
    "unreadable": sentences.NOTE_UNREADABLE,
    "upside_down": sentences.NOTE_UPSIDE_DOWN,
}

_LANGUAGES = {"ru": "Русский", "en": "English"}  # each as its speakers call it
_MODEL_BUTTONS = 90  # Telegram takes 100 in all
_DESCRIPTION = 160  # UTF-16 units of a model's description, at most


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


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` (>= 2) UTF-16 units of a text, with an ellipsis behind them where more followed."""
    pieces = wrap(text, limit)
    return pieces[0] + ("…" if len(pieces) > 1 else "") if pieces else ""


def _head(text: str, limit: int) -> str:
    # Cutting the encoded form could split a surrogate pair: "ignore" drops the half.
    return text.encode("utf-16-le")[: limit * 2].decode("utf-16-le", errors="ignore")


def introduction(job: Job | None, model: str, texts: Texts) -> str:
    """What must be known before a caption by ``model`` is heard, as HTML; empty when nothing must.

    That the model asked for is not there, and whose description this is where two are compared.
    """
    if job is None:
        return ""
    said = []
    if job.model not in ("", model):
        said.append(texts(sentences.MODEL_GONE, model=job.model))
    if job.part:
        said.append(texts(sentences.PART_BY, part=job.part, model=model))
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
    return _column([(texts(sentences.SHOW_AGAIN), show_data(caption_id, job_id))])


def privacy_page(consent: bool, texts: Texts) -> str:
    """What is kept, as HTML."""
    return texts(sentences.PRIVACY, state=_consent_state(consent, texts))


def greeting(consent: bool, texts: Texts) -> str:
    """What the bot is, and whether it may keep pictures, as HTML."""
    question = texts(sentences.CONSENT_QUESTION, state=_consent_state(consent, texts))
    return f"{texts(sentences.START)}\n\n{question}"


def _consent_state(consent: bool, texts: Texts) -> str:
    return texts(sentences.CONSENT_ON if consent else sentences.CONSENT_OFF)


def consent_keyboard(user: User, consent: bool, texts: Texts, *, start: bool = False) -> InlineKeyboardMarkup:
    """The button that changes whether pictures may be kept; ``start``: it stands under the greeting."""
    text = sentences.DISALLOW if consent else sentences.ALLOW
    return _column([(texts(text), consent_data(not consent, user.id, start=start))])


@dataclass(frozen=True, slots=True)
class Offer:
    """The models a person may choose from, and what describes their pictures now."""

    user_id: int
    descriptions: Mapping[str, str]  # by name
    first: str
    second: str | None  # of a comparison; None: there is none
    own: bool  # the person chose the first one; False: it is the operator's


def model_state(offer: Offer, texts: Texts) -> str:
    """Which model describes the person's pictures, as HTML."""
    if offer.first not in offer.descriptions:
        return texts(sentences.MODEL_STATE_GONE, model=offer.first)
    state = sentences.MODEL_STATE_OWN if offer.own else sentences.MODEL_STATE_USUAL
    return texts(state, model=offer.first)


def model_page(offer: Offer, texts: Texts) -> str:
    """The same, and which models there are, as HTML."""
    state, listed = Html(model_state(offer, texts)), Html(_models(offer))
    return texts(sentences.MODEL_PAGE, state=state, models=listed)


def _models(offer: Offer) -> str:
    names = [f"<b>{html.escape(name, quote=False)}</b>" for name in offer.descriptions]
    lines = []
    for name, description in zip(names, offer.descriptions.values(), strict=True):
        told = shortened(description, _DESCRIPTION)
        lines.append(f"{name} – {html.escape(told, quote=False)}" if told else name)
    for told in ("\n".join(lines), "\n".join(names)):
        if length(told) <= MESSAGE_LIMIT - 1000:  # the rest of the page
            return told
    return ", ".join(names[:20]) + " …"


def model_keyboard(offer: Offer, texts: Texts) -> InlineKeyboardMarkup:
    """The usual model, every model by name (the present one ticked), and the way to comparing."""
    buttons = [(_ticked(texts(sentences.MODEL_USUAL), not offer.own), model_data(NONE, offer.user_id))]
    buttons += [
        (_ticked(name, offer.own and name == offer.first), model_data(models.key(name), offer.user_id))
        for name in [*offer.descriptions][:_MODEL_BUTTONS]
    ]
    if len(offer.descriptions) > 1 or offer.second is not None:
        buttons.append((texts(sentences.COMPARE_TURN), compare_data(TURN, offer.user_id)))
    return _column(buttons)


def compare_state(offer: Offer, texts: Texts) -> str:
    """Whether each picture gets two descriptions, and by whom, as HTML."""
    if offer.second is not None:
        return texts(sentences.COMPARE_STATE_ON, first=offer.first, second=offer.second)
    return texts(sentences.COMPARE_STATE_OFF, first=offer.first)


def compare_page(offer: Offer, texts: Texts) -> str:
    """The same, and what can be chosen, as HTML."""
    others = any(name != offer.first for name in offer.descriptions)
    advice = texts(sentences.COMPARE_CHOOSE if others else sentences.COMPARE_ALONE)
    return texts(sentences.COMPARE_PAGE, state=Html(compare_state(offer, texts)), advice=Html(advice))


def compare_keyboard(offer: Offer, texts: Texts) -> InlineKeyboardMarkup:
    """One description, or two with any other model (the present choice ticked), and the way back."""
    buttons = [
        (_ticked(texts(sentences.COMPARE_OFF), offer.second is None), compare_data(NONE, offer.user_id))
    ]
    buttons += [
        (
            _ticked(texts(sentences.COMPARE_WITH, model=name), name == offer.second),
            compare_data(models.key(name), offer.user_id),
        )
        for name in [*offer.descriptions][:_MODEL_BUTTONS]
        if name != offer.first
    ]
    return _column([*buttons, (texts(sentences.MODEL_TURN), model_data(TURN, offer.user_id))])


def language_keyboard(user: User, texts: Texts) -> InlineKeyboardMarkup:
    """The languages of the interface, the present one ticked."""
    return _column(
        [
            (_ticked(name, code == texts.language), language_data(code, user.id))
            for code, name in _LANGUAGES.items()
        ]
    )


def _ticked(text: str, yes: bool) -> str:
    return f"✓ {text}" if yes else text


def _column(buttons: Iterable[tuple[str, str]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=text, callback_data=data)] for text, data in buttons]
    )
