"""Albums. Telegram sends their pictures as separate messages with no mark at the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiogram import Bot, Router
from aiogram.filters import Filter
from aiogram.types import Message

from bot.captioning import Captioning
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.tables import Job, User
from bot.handlers.accepting import accept
from bot.handlers.common import AnyCommand, reply
from bot.messages.targets import Refused, Target, find, is_addressed, is_private
from bot.texts import Texts

QUIET = 0.7  # seconds without another picture after which an album counts as complete
MEMORY = 60.0  # seconds for which an album in a group is remembered, for pictures that come late

_Key = tuple[int, str]


@dataclass(slots=True)
class _Album:
    addressed: bool = False
    held: list[Message] = field(default_factory=list)  # in groups, until one of them addresses the bot
    jobs: list[Job] = field(default_factory=list)
    last: float = 0.0
    gathering: bool = False


class Albums:
    """Albums that are arriving. Job rows are written at once; only the answers' order waits for the end."""

    def __init__(self, captioning: Captioning, nursery: Nursery) -> None:
        self._captioning = captioning
        self._nursery = nursery
        self._albums: dict[_Key, _Album] = {}

    def take(self, message: Message, *, addressed: bool) -> list[Message]:
        """The messages of the album to work on now: in a group none until one of them addresses the bot."""
        album = self._album(_key(message))
        # An edited message takes the place of what it was.
        album.held = [one for one in album.held if one.message_id != message.message_id] + [message]
        album.addressed |= addressed
        if not album.addressed:
            return []
        ready, album.held = album.held, []
        return ready

    def add(self, key: _Key, job: Job) -> None:
        """An accepted picture of an album: it is worked on when the album is quiet, in the album's order."""
        album = self._album(key)
        album.jobs.append(job)
        if not album.gathering:
            album.gathering = True
            self._nursery.start(self._gather(key, album), name=f"album {key[1]}")

    def _album(self, key: _Key) -> _Album:
        now = asyncio.get_running_loop().time()
        for other, album in list(self._albums.items()):
            if now - album.last > MEMORY and not album.gathering:
                del self._albums[other]
        album = self._albums.setdefault(key, _Album())
        album.last = now
        return album

    async def _gather(self, key: _Key, album: _Album) -> None:
        loop = asyncio.get_running_loop()
        # A timer that every further picture winds up again.
        while (  # noqa: ASYNC110 - it waits for time to pass, not for an event
            left := album.last + QUIET - loop.time()
        ) > 0:
            await asyncio.sleep(left)
        jobs, album.jobs = sorted(album.jobs, key=lambda job: (job.message_id, job.id)), []
        album.gathering = False
        self._captioning.submit(jobs, lane=f"album {key[0]} {key[1]}")


def _key(message: Message) -> _Key:
    return message.chat.id, message.media_group_id or ""


class OfAlbum(Filter):
    """A message of an album that concerns the bot; gives the messages to work on as ``messages``."""

    async def __call__(self, message: Message, bot: Bot, albums: Albums) -> bool | dict[str, Any]:
        if message.media_group_id is None:
            return False
        addressed = (
            is_private(message)
            or is_addressed(message, await bot.me())
            or bool(await AnyCommand("caption")(message, bot))
        )
        messages = albums.take(message, addressed=addressed)
        return {"messages": messages} if messages else False


def router() -> Router:
    """A new router."""
    made = Router(name="album")
    made.message.register(pictures, OfAlbum())
    made.edited_message.register(pictures, OfAlbum())
    return made


async def pictures(
    _: Message,
    *,
    messages: list[Message],
    user: User,
    words: Texts,
    albums: Albums,
    captioning: Captioning,
    settings: Settings,
) -> None:
    """Accept every picture; what is none gets its sentence under its own message."""
    for one in messages:
        found = find(one)
        if isinstance(found, Refused):
            if one.edit_date is None:  # else it was said before
                await reply(one, words(found.sentence))
        elif found is not None:
            accepted = await accept(
                one,
                found,
                Target.of(one, [found]),
                user=user,
                words=words,
                captioning=captioning,
                settings=settings,
            )
            for job, created in accepted or ():
                if created:
                    albums.add(_key(one), job)
