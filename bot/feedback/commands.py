"""What ``python -m bot export | stats | erase | mute | unmute`` do: each returns what to print, in English.

All raise StoreError (ExportError is one), whose text is one sentence that says what to do.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.common.accounts import SERVICE_ACCOUNTS, is_person, telegram_number
from bot.feedback.database import StoreError, database_url, sqlite_file
from bot.feedback.export import ExportFormat, export, parse_since
from bot.feedback.overview import Day, Disliked, Line
from bot.feedback.reports import ModelStats, Stats
from bot.feedback.retention import FOR_EVER, Keep
from bot.feedback.states import JobState
from bot.feedback.store import Store
from bot.texts import Texts, sentences, texts

MONTH = 30  # days


def run_export(
    url: str,
    data_dir: Path,
    out: Path,
    *,
    format: ExportFormat = "imagefolder",
    since: str | None = None,
    min_rating: int | None = None,
    keep: Keep = FOR_EVER,
) -> str:
    """Export the feedback into the folder ``out``, without what is older than it is to be kept; ``since`` as
    a person types it. See export.export.
    """

    async def run() -> str:
        moment = None if since is None else parse_since(since)
        async with await open_store(url, data_dir) as store:
            await store.retention.sweep(keep)
            report = await export(store, out, format=format, since=moment, min_rating=min_rating)
        return f"{out}: {report}"

    return asyncio.run(run())


def run_stats(url: str, data_dir: Path, *, days: int = 0, worst: int = 0) -> str:
    """The store in numbers; the last ``days``, and so many of their ``worst`` captions (or of a month's)."""

    async def run() -> str:
        async with await open_store(url, data_dir) as store:
            parts = [format_stats(await store.reports.stats(), texts("en"))]
            if days:
                course, failures = await store.overview.course(days), await store.overview.failures(days)
                parts.append(format_course(course, failures, await store.overview.line()))
            if worst:
                parts += map(format_disliked, await store.overview.disliked(days or MONTH, most=worst))
            return "\n\n".join(parts)

    return asyncio.run(run())


def format_course(course: Sequence[Day], failures: Mapping[str, int], line: Line) -> str:
    """Plain text: a line a day, then the failures by kind and what waits."""
    rows = ["Day         answered  failed  marks  mean"]
    for day in course:
        mean = "–" if day.mean_mark is None else f"{day.mean_mark:.2f}"
        rows.append(f"{day.day}  {day.answered:8}  {day.failed:6}  {day.marks:5}  {mean:>4}")
    kinds = ", ".join(f"{kind} {number}" for kind, number in failures.items()) or "none"
    waiting = f"Waiting: {line.accepted}, in work: {line.working}"
    if line.oldest is not None:
        waiting += f", since {line.oldest:%Y-%m-%d %H:%M:%S} UTC"
    return "\n".join([*rows, f"Failures: {kinds}", waiting])


def format_disliked(one: Disliked) -> str:
    """Plain text: the mean mark, the model, the file under DATA_DIR, the caption."""
    return (
        f"Caption {one.caption.id}: {one.mean_mark:.1f} of 5 ({one.marks}), {one.caption.model}, "
        f"{one.picture.path}\n{one.caption.text or one.caption.summary}"
    )


def run_erase(url: str, data_dir: Path, telegram_id: int) -> str:
    """Erase everything of the person with this Telegram number."""
    if not is_person(telegram_id):
        raise StoreError(
            f"{telegram_id} is {SERVICE_ACCOUNTS.get(telegram_id, 'a chat')}, no person; check the id."
        )

    async def run() -> str:
        async with await open_store(url, data_dir) as store:
            user = await store.people.find(telegram_id)
            if user is None and await store.pictures.has_sent(telegram_id):
                # Somebody else asked about their pictures; they themselves never wrote to the bot.
                user = await store.people.meet(telegram_id, language="ru")
            if user is None:
                raise StoreError(f"Nobody has the Telegram id {telegram_id} in the database; check the id.")
            gone = await store.erasure.erase(user.id)
        return (
            f"Erased: {gone.pictures} pictures ({gone.files} kept files), {gone.captions} captions, "
            f"{gone.ratings} marks, {gone.corrections} corrections, {gone.jobs} jobs, "
            f"{gone.turns} answers to questions. "
            "Earlier exports are not changed: make them again."
        )

    return asyncio.run(run())


def run_mute(url: str, data_dir: Path, number: str | None) -> str:
    """Mute a person or a group; None: say who is muted."""

    async def run() -> str:
        async with await open_store(url, data_dir) as store:
            if number is not None:
                await store.muted.add(_number(number))
            muted = ", ".join(map(str, await store.muted.all()))
        return f"Muted: {muted}." if muted else "Nobody is muted."

    return asyncio.run(run())


def run_unmute(url: str, data_dir: Path, number: str) -> str:
    """Answer a person or a group again."""

    async def run() -> str:
        async with await open_store(url, data_dir) as store:
            if not await store.muted.remove(_number(number)):
                raise StoreError(f"{number} was not muted; `mute` without a number lists who is.")
        return f"{number} is answered again."

    return asyncio.run(run())


def _number(text: str) -> int:
    if (number := telegram_number(text)) is None:
        raise StoreError(
            f"{text!r} is no Telegram id; write a number like 12345678, a group's with its minus."
        )
    return number


def format_stats(stats: Stats, words: Texts) -> str:
    """Plain text: totals, then a paragraph a model and checkpoint."""
    answered, failed = stats.jobs.get(JobState.ANSWERED, 0), stats.jobs.get(JobState.FAILED, 0)
    totals = (
        words(
            sentences.STATS_PEOPLE,
            people=stats.users,
            active=stats.active_users,
            consenting=stats.consenting_users,
        ),
        words(sentences.STATS_PICTURES, pictures=stats.pictures, kept=stats.kept_pictures),
        words(
            sentences.STATS_JOBS,
            answered=answered,
            failed=failed,
            open=sum(stats.jobs.values()) - answered - failed,
        ),
        words(sentences.STATS_LOST_ANSWERS, number=stats.lost_answers),
    )
    paragraphs = ["\n".join(totals)]
    for model in stats.models:
        said = words(
            sentences.STATS_MODEL,
            model=model.model,
            checkpoint=model.checkpoint[:12],
            captions=model.captions,
            corrections=model.corrections,
            variants=model.variants,
        )
        paragraphs.append(f"{said}\n{_marks(model, words)}")
    return html.unescape("\n\n".join(paragraphs))


def _marks(model: ModelStats, words: Texts) -> str:
    if model.mean_rating is None or model.interval is None:
        return words(sentences.STATS_UNRATED)
    low, high = model.interval
    return words(
        sentences.STATS_MARKS,
        marks=model.ratings,
        raters=model.raters,
        mean=words.decimal(model.mean_rating),
        low=words.decimal(low),
        high=words.decimal(high),
        each=", ".join(f"{mark} – {model.marks.get(mark, 0)}" for mark in range(1, 6)),
    )


async def open_store(url: str, data_dir: Path) -> Store:
    """The store, which must be there."""
    if (file := sqlite_file(database_url(url))) is not None:
        await asyncio.to_thread(check_there, file)
    return await Store.open(url, data_dir)


def check_there(file: Path) -> None:
    """Raises StoreError: a mistyped path must not look like an empty database."""
    if not file.exists():
        raise StoreError(f"No database at {file}; check DATABASE_URL, or start the bot.")
