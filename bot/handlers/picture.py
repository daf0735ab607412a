"""Pictures: in private every one, in groups those that /caption, a mention or a reply points at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from aiogram import Bot, F, Router
from aiogram.filters import Filter
from aiogram.types import Message

from bot.captioning import Captioning
from bot.config import Settings
from bot.feedback.states import JobState
from bot.feedback.store import Store
from bot.feedback.tables import Choice, Job, User
from bot.handlers.accepting import accept
from bot.handlers.common import IN_PRIVATE, AnyCommand, Where, reply
from bot.messages.outbox import place_of
from bot.messages.targets import Found, Refused, Target, find, find_all, find_target, is_addressed, is_private
from bot.texts import Texts, sentences

logger = logging.getLogger(__name__)


class Addressed(Filter):
    """A message in a group that mentions the bot or answers it with something to describe."""

    async def __call__(self, message: Message, bot: Bot) -> bool:
        return not is_private(message) and is_addressed(message, await bot.me())


def router() -> Router:
    """A new router."""
    made = Router(name="picture")
    made.message.register(asked, AnyCommand("caption"))
    made.message.register(asked, Addressed())
    made.message.register(sent, IN_PRIVATE, Where(F.func(find)))
    # Albums of groups are album.py's also where they are edited.
    made.edited_message.register(edited, Where(~F.media_group_id), AnyCommand("caption"))
    made.edited_message.register(edited, Where(~F.media_group_id), Addressed())
    made.edited_message.register(edited, Where(~F.media_group_id), IN_PRIVATE, Where(F.func(_has_picture)))
    made.message.register(unknown_command, IN_PRIVATE, Where(F.text.startswith("/")))
    made.message.register(text, IN_PRIVATE, Where(F.text))
    return made


async def asked(message: Message, **data: Any) -> None:
    """Somebody points at a picture: it is described, or shown again if it was described before."""
    await describe(message, find_target(message), again=True, **data)


async def sent(message: Message, **data: Any) -> None:
    """Somebody sent something to the bot alone."""
    found = find_all(message)
    target = found if isinstance(found, Refused) else Target.of(message, found)
    await describe(message, target, again=False, **data)


async def edited(message: Message, **data: Any) -> None:
    """A message is another one now: what it points at is described, unless it was before."""
    await describe(message, find_target(message), again=False, **data)


def _has_picture(message: Message) -> bool:
    # Anything else that is edited in private is no new question: Telegram also tells of moves on a map.
    return isinstance(find(message), Found)


async def text(message: Message, words: Texts) -> None:
    """Words alone: say what to send."""
    await reply(message, words(sentences.SEND_A_PICTURE))


async def unknown_command(message: Message, words: Texts) -> None:
    """A command that is not ours."""
    await reply(message, words(sentences.UNKNOWN_COMMAND))


async def describe(
    message: Message,
    target: Target | Refused,
    *,
    again: bool,
    user: User,
    words: Texts,
    captioning: Captioning,
    store: Store,
    settings: Settings,
    chosen: Sequence[Choice] = (),
    **_: Any,
) -> None:
    """Have a picture described; ``chosen``: see Captioning.accept. ``again``: what was described is shown."""
    if isinstance(target, Refused):
        await reply(message, words(target.sentence))
        return
    to_do: list[Job] = []
    for picture in target.pictures:
        accepted = await accept(
            message,
            picture,
            target,
            user=user,
            words=words,
            captioning=captioning,
            settings=settings,
            chosen=chosen,
            again=again,
        )
        if accepted is None:
            break
        for job, created in accepted:
            if created or (again and job.state == JobState.FAILED and await store.jobs.retry(job.id)):
                to_do.append(job)
            elif again and job.state == JobState.ANSWERED and job.caption_id is not None:
                row = await store.captions.get(job.caption_id)
                if row is not None:
                    await captioning.show(
                        row,
                        job,
                        user=user,
                        place=place_of(message),
                        reply_to=target.message_id,
                        language=words.language,
                    )
            # Otherwise it is in work, or the update came twice: the answer comes, or came, once.
    captioning.submit(to_do, lane=f"parts of {message.chat.id} {target.message_id}")
