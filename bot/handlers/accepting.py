"""Accepting one picture of a message, or saying under the message why that cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from aiogram.types import Message

from bot.captioning import Captioning, QueueFull
from bot.config import Settings
from bot.feedback.tables import Choice, Job, User
from bot.feedback.usage import DayFull
from bot.handlers.common import reply
from bot.messages.durations import duration
from bot.messages.outbox import place_of
from bot.messages.targets import Found, Target
from bot.texts import Texts, sentences


async def accept(
    message: Message,
    picture: Found,
    target: Target,
    *,
    user: User,
    words: Texts,
    captioning: Captioning,
    settings: Settings,
    chosen: Sequence[Choice] = (),
    again: bool = False,
) -> list[tuple[Job, bool]] | None:
    """The jobs of one picture of ``target``, empty when it is too large; what is True is new.

    None: the person has too many unanswered pictures or has sent too many today, and the next one would be
    one more. ``chosen``, ``again``: see Captioning.accept. Raises NotStored.
    """
    # Where Telegram does not tell a size, fetching will.
    if picture.size is not None and picture.size > settings.max_file_bytes:
        await reply(message, words(sentences.TOO_LARGE, megabytes=f"{settings.max_file_mb:g}"))
        return []
    try:
        return await captioning.accept(
            picture,
            user=user,
            place=place_of(message),
            message_id=target.message_id,
            sender=target.sender,
            language=words.language,
            question=target.question,
            chosen=chosen,
            again=again,
            asked_at=message.date,
        )
    except (QueueFull, DayFull) as full:
        await reply(message, refusal(full, words))
        return None


def refusal(full: QueueFull | DayFull, words: Texts) -> str:
    """Why there is no room for one more picture or question, and when there will be."""
    if isinstance(full, DayFull):
        return words.plural(_DAY_FULL[full.whose], full.limit, time=duration(full.seconds, words))
    told = words.plural(sentences.USER_QUEUE_FULL, full.waiting)
    if full.seconds is None:
        return told
    return f"{told} {words(sentences.TAKES_ABOUT, time=duration(full.seconds, words))}"


_DAY_FULL = {
    "person": sentences.DAY_FULL_PERSON,
    "group": sentences.DAY_FULL_GROUP,
    "everybody": sentences.DAY_FULL_EVERYBODY,
}
