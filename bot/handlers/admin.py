"""What only the people in ADMIN_IDS may do: /export, /stats, /mute, /unmute. For others they do not exist."""

from __future__ import annotations

import html
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from aiogram import Bot, Router
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.filters import CommandObject, Filter
from aiogram.types import Message

from bot.common.accounts import telegram_number
from bot.common.nursery import Nursery
from bot.config import Settings
from bot.feedback.commands import format_stats
from bot.feedback.database import StoreError
from bot.feedback.export import ExportFormat, archive, export, parse_since
from bot.feedback.retention import Keep
from bot.feedback.store import Store
from bot.feedback.tables import Place
from bot.handlers.common import TextCommand, reply
from bot.messages import outbox
from bot.messages.lengths import wrap
from bot.texts import Texts, sentences
from inference.common.locks import Locked

logger = logging.getLogger(__name__)


class IsAdmin(Filter):
    """Sent by one of ADMIN_IDS."""

    async def __call__(self, message: Message, settings: Settings) -> bool:
        return message.from_user is not None and message.from_user.id in settings.admin_ids


def router() -> Router:
    """A new router."""
    made = Router(name="admin")
    made.message.register(export_command, IsAdmin(), TextCommand("export"))
    made.message.register(stats, IsAdmin(), TextCommand("stats"))
    made.message.register(mute, IsAdmin(), TextCommand("mute"))
    made.message.register(unmute, IsAdmin(), TextCommand("unmute"))
    return made


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an operator asks for after /export."""

    format: ExportFormat = "imagefolder"
    since: datetime | None = None
    min_rating: int | None = None

    @classmethod
    def parse(cls, arguments: str) -> ExportRequest:
        """Words in any order: a format, a date, a mark. Raises ValueError on anything else."""
        chosen = cls()
        for word in arguments.split():
            if word in get_args(ExportFormat):
                chosen = cls(word, chosen.since, chosen.min_rating)  # type: ignore[arg-type]  # just looked at
            elif re.fullmatch(r"[1-5]", word):
                chosen = cls(chosen.format, chosen.since, int(word))
            elif re.match(r"\d{4}-\d", word):
                try:
                    chosen = cls(chosen.format, parse_since(word), chosen.min_rating)
                except StoreError as error:
                    raise ValueError(word) from error
            else:
                raise ValueError(word)
        return chosen


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where an operator is served: in the private chat, from wherever the command was given.

    In a group everybody reads along; there one line says where the answer went.
    """

    bot: Bot
    asked: Message
    words: Texts

    @property
    def operator(self) -> int:
        """Whose number the private chat has too."""
        return self.asked.from_user.id if self.asked.from_user is not None else self.asked.chat.id

    @property
    def private(self) -> bool:
        """Whether the command came from the private chat."""
        return self.asked.chat.id == self.operator

    @property
    def place(self) -> Place:
        """Where everything goes."""
        return outbox.place_of(self.asked) if self.private else Place(self.operator)

    async def open(self, text: str) -> bool:
        """Say the first thing; False: the operator has never started the bot, which the group is told."""
        try:
            await self.say(text)
        except (TelegramForbiddenError, TelegramBadRequest) as error:
            if self.private:
                raise
            logger.info("The operator %d cannot be written to: %s", self.operator, error.message)
            me = await self.bot.me()
            await reply(self.asked, self.words(sentences.OPERATOR_START, bot=me.username))
            return False
        if not self.private:
            await reply(self.asked, self.words(sentences.OPERATOR_PRIVATELY))
        return True

    async def say(self, text: str) -> None:
        """One more thing, in private."""
        reply_to = self.asked.message_id if self.private else None
        await outbox.send(self.bot, self.place, text, reply_to=reply_to)


async def export_command(
    message: Message,
    *,
    command: CommandObject,
    bot: Bot,
    words: Texts,
    store: Store,
    settings: Settings,
    nursery: Nursery,
) -> None:
    """Send the feedback as an archive, made in the background."""
    try:
        request = ExportRequest.parse(command.args or "")
    except ValueError:
        await reply(message, words(sentences.EXPORT_USAGE))
        return
    keep = Keep(settings.keep_pictures_days, settings.keep_texts_days)
    nursery.start(_export(_Desk(bot, message, words), request, keep, words, store), name="export")


async def _export(desk: _Desk, request: ExportRequest, keep: Keep, words: Texts, store: Store) -> None:
    try:
        async with store.locks.one_export() as folder:
            if await desk.open(words(sentences.EXPORT_STARTED)):
                await store.retention.sweep(keep)
                await _send_export(desk, folder, request, words, store)
    except Locked:
        await desk.open(words(sentences.EXPORT_BUSY))
    except Exception:
        logger.exception("The export failed")
        await desk.say(words(sentences.EXPORT_FAILED))


async def _send_export(desk: _Desk, folder: Path, request: ExportRequest, words: Texts, store: Store) -> None:
    out = folder / "export"
    report = await export(
        store, out, format=request.format, since=request.since, min_rating=request.min_rating
    )
    if report.empty:
        await desk.say(words(sentences.EXPORT_EMPTY))
        return
    for part in await archive(out, folder / "parts"):
        await outbox.send_file(desk.bot, desk.place, part)
    done = words(sentences.EXPORT_DONE, rows=report.rows, turns=report.turns)
    if report.without_pictures:
        done += " " + words(sentences.EXPORT_WITHOUT, without=report.without_pictures)
    await desk.say(done)


async def stats(message: Message, bot: Bot, words: Texts, store: Store) -> None:
    """Say the store in numbers."""
    desk = _Desk(bot, message, words)
    table = format_stats(await store.reports.stats(), words)
    first, *others = wrap(table)
    title = words(sentences.STATS_TITLE)
    if await desk.open(f"{title}\n\n{html.escape(first, quote=False)}"):
        for piece in others:
            await desk.say(f"{title}\n\n{html.escape(piece, quote=False)}")


async def mute(message: Message, command: CommandObject, bot: Bot, words: Texts, store: Store) -> None:
    """Mute a person or a group, or say who is muted."""
    desk = _Desk(bot, message, words)
    if not command.args:
        muted = await store.muted.all()
        numbers = ", ".join(map(str, muted))
        await desk.open(words(sentences.MUTED_ARE, ids=numbers) if muted else words(sentences.MUTED_NONE))
    elif (number := telegram_number(command.args)) is None:
        await desk.open(words(sentences.MUTE_USAGE))
    else:
        await store.muted.add(number)
        await desk.open(words(sentences.MUTED, id=number))


async def unmute(message: Message, command: CommandObject, bot: Bot, words: Texts, store: Store) -> None:
    """Answer a person or a group again."""
    desk = _Desk(bot, message, words)
    if (number := telegram_number(command.args or "")) is None:
        await desk.open(words(sentences.MUTE_USAGE))
    else:
        known = await store.muted.remove(number)
        await desk.open(words(sentences.UNMUTED if known else sentences.NOT_MUTED, id=number))
