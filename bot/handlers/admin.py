"""/export and /stats, for the people in ADMIN_IDS; for everybody else these commands do not exist."""

from __future__ import annotations

import html
import logging
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from aiogram import Router
from aiogram.filters import CommandObject, Filter
from aiogram.types import Message

from bot import outbox
from bot.config import Settings
from bot.feedback.commands import format_stats
from bot.feedback.database import StoreError
from bot.feedback.export import ExportFormat, archive, export, parse_since
from bot.feedback.store import Store
from bot.handlers.common import TextCommand, bot_of, reply, say
from bot.nursery import Nursery
from bot.replies import wrap
from bot.texts import Texts, sentences

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
                chosen = cls(word, chosen.since, chosen.min_rating)  # type: ignore[arg-type]
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


async def export_command(
    message: Message, command: CommandObject, words: Texts, store: Store, nursery: Nursery
) -> None:
    """Send the feedback as an archive, made in the background."""
    try:
        request = ExportRequest.parse(command.args or "")
    except ValueError:
        await reply(message, words(sentences.EXPORT_USAGE))
        return
    await reply(message, words(sentences.EXPORT_STARTED))
    nursery.start(_export(message, request, words, store), name="export")


async def _export(message: Message, request: ExportRequest, words: Texts, store: Store) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="meme-export-") as folder:
            out = Path(folder) / "export"
            report = await export(
                store, out, format=request.format, since=request.since, min_rating=request.min_rating
            )
            if not report.rows:
                await reply(message, words(sentences.EXPORT_EMPTY))
                return
            for part in await archive(out, Path(folder) / "parts"):
                await outbox.send_file(bot_of(message), outbox.place_of(message), part)
        done = words(sentences.EXPORT_DONE, rows=report.rows)
        if report.without_pictures:
            done += " " + words(sentences.EXPORT_WITHOUT, without=report.without_pictures)
        await reply(message, done)
    except Exception:
        logger.exception("The export failed")
        await reply(message, words(sentences.EXPORT_FAILED))


async def stats(message: Message, words: Texts, store: Store) -> None:
    """Say the store in numbers."""
    table = format_stats(await store.stats(), words)
    for piece in wrap(table):
        text = f"{words(sentences.STATS_TITLE)}\n\n{html.escape(piece, quote=False)}"
        await say(message, text)
