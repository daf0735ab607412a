"""What the buttons under the bot's messages say: their callback_data, read and written in one place.

A client may send any callback_data under any message. So a press is taken only by
:mod:`bot.middlewares.buttons`, which signs what goes out and compares what comes back with the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.feedback.tables import Shown, ShownKind
from inference.common.types import Detail, Language

ButtonKind = Literal[
    "rate",
    "correct",
    "variant",
    "words",
    "joke",
    "show",
    "consent",
    "forget",
    "model",
    "compare",
    "language",
    "settings",
]

# Of the pages about models: the usual model or no comparison; show the page itself; show what is not here.
NONE, TURN, MISSING = "0", "p", "n"
DROP = "-"  # before a model's key: compare with it no more

# What a person may choose of how descriptions are told: the column of it (see User), and its value.
TELLING: dict[str, tuple[str, str | bool]] = {
    **{value: ("detail", value) for value in get_args(Detail)},
    "in": ("quoting", True),
    "apart": ("quoting", False),
    **{value: ("told_in", value) for value in get_args(Language)},
}

_ID = "[0-9]{1,18}"
_MODEL = f"(?P<value>{NONE}|{TURN}|{MISSING}|[0-9a-f]{{12}})"  # else the key of a model's name
_COMPARED = f"(?P<value>{NONE}|{TURN}|{DROP}?[0-9a-f]{{12}})"
_OF_CAPTION = f"(?P<caption>{_ID})(?::(?P<job>{_ID}))?"
_OF_PERSON = f"(?P<user>{_ID})"
_FORMS: dict[ButtonKind, re.Pattern[str]] = {
    "rate": re.compile(f"r:(?P<caption>{_ID}):(?P<value>[1-5])(?::(?P<job>{_ID}))?"),
    "correct": re.compile(f"c:{_OF_CAPTION}"),
    "variant": re.compile(f"v:{_OF_CAPTION}"),
    "words": re.compile(f"w:{_OF_CAPTION}"),
    "joke": re.compile(f"j:{_OF_CAPTION}"),
    "show": re.compile(f"s:{_OF_CAPTION}"),
    "consent": re.compile(f"p:(?P<value>[01])(?P<start>:start)?:{_OF_PERSON}"),
    "forget": re.compile(f"f:(?P<value>[01]):{_OF_PERSON}"),
    "model": re.compile(f"m:{_MODEL}:{_OF_PERSON}"),
    "compare": re.compile(f"x:{_COMPARED}:{_OF_PERSON}"),
    "language": re.compile(f"l:(?P<value>ru|en):{_OF_PERSON}"),
    "settings": re.compile(f"t:(?P<value>{'|'.join(TELLING)}):{_OF_PERSON}"),
}
_SHOWN: dict[ButtonKind, ShownKind] = {
    "rate": "caption",
    "correct": "caption",
    "variant": "caption",
    "words": "caption",
    "joke": "caption",
    "show": "note",
    "consent": "privacy",
    "forget": "privacy",  # either is about what is kept of a person
    "model": "models",
    "compare": "models",
    "language": "language",
    "settings": "settings",
}
# Telegram holds 64 bytes: 44 of the longest body, a colon, and these 16 (96 bits).
_SIGNED = re.compile("(?P<body>.+):(?P<signature>[A-Za-z0-9_-]{16})")


@dataclass(frozen=True, slots=True)
class Button:
    """What a button does, and what the message that it stands under must show."""

    kind: ButtonKind
    value: str  # the mark, choice or language; "" where the kind says everything
    shown: Shown

    @property
    def caption_id(self) -> int:
        """Of a button under a description, or under the note about one."""
        if self.shown.caption_id is None:
            raise TypeError(f"A button of the kind {self.kind} is about no caption.")
        return self.shown.caption_id


def read_button(body: str) -> Button | None:
    """The button of this callback_data, which was signed or not; None: there is no such button."""
    for kind, form in _FORMS.items():
        if (found := form.fullmatch(body)) is not None:
            parts = found.groupdict()
            return Button(
                kind,
                parts.get("value") or "",
                Shown(
                    "greeting" if parts.get("start") else _SHOWN[kind],
                    caption_id=_number(parts.get("caption")),
                    job_id=_number(parts.get("job")),
                    user_id=_number(parts.get("user")),
                ),
            )
    return None


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def signed(body: str, signature: str) -> str:
    """The callback_data that goes out."""
    return f"{body}:{signature}"


def split(data: str) -> tuple[str, str | None]:
    """A callback_data's body and its signature; None: it has none."""
    found = _SIGNED.fullmatch(data)
    return (found["body"], found["signature"]) if found is not None else (data, None)


# --- the bodies ---


def rate_data(caption_id: int, mark: int, job_id: int | None) -> str:
    """Give the caption this mark."""
    return f"r:{caption_id}:{mark}{_job(job_id)}"


def correct_data(caption_id: int, job_id: int | None) -> str:
    """Ask for a better description."""
    return f"c:{caption_id}{_job(job_id)}"


def variant_data(caption_id: int, job_id: int | None) -> str:
    """Describe the picture once more."""
    return f"v:{caption_id}{_job(job_id)}"


def words_data(caption_id: int, job_id: int | None) -> str:
    """Send the words on the picture alone."""
    return f"w:{caption_id}{_job(job_id)}"


def joke_data(caption_id: int, job_id: int | None) -> str:
    """Say what the joke is."""
    return f"j:{caption_id}{_job(job_id)}"


def show_data(caption_id: int, job_id: int) -> str:
    """Send the caption that may not have arrived."""
    return f"s:{caption_id}{_job(job_id)}"


def consent_data(consent: bool, user_id: int, *, start: bool) -> str:
    """May this person's pictures be kept? ``start``: asked under the greeting."""
    return f"p:{int(consent)}{':start' if start else ''}:{user_id}"


def forget_data(erase: bool, user_id: int) -> str:
    """Is everything about this person to be erased?"""
    return f"f:{int(erase)}:{user_id}"


def model_data(choice: str, user_id: int) -> str:
    """Choose the model that describes: NONE, TURN, MISSING or a model's key."""
    return f"m:{choice}:{user_id}"


def compare_data(choice: str, user_id: int) -> str:
    """Compare with one more model: NONE, TURN or a model's key, with DROP before it to leave it out again."""
    return f"x:{choice}:{user_id}"


def language_data(language: str, user_id: int) -> str:
    """Speak this language."""
    return f"l:{language}:{user_id}"


def settings_data(choice: str, user_id: int) -> str:
    """Tell descriptions so from now on: a name in TELLING."""
    return f"t:{choice}:{user_id}"


def _job(job_id: int | None) -> str:
    return "" if job_id is None else f":{job_id}"


def column(buttons: Iterable[tuple[str, str]]) -> InlineKeyboardMarkup:
    """A keyboard of one button a row: its text, and its callback_data."""
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=text, callback_data=data)] for text, data in buttons]
    )
