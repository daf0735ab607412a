"""What ``python -m bot export | stats | erase`` do. Each returns the text to print, for the operator.

All raise StoreError (ExportError is one), whose text is one sentence that says what to do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.feedback.database import StoreError, database_url
from bot.feedback.export import ExportFormat, export, parse_since
from bot.feedback.reports import Stats
from bot.feedback.store import Store


def run_export(
    url: str,
    data_dir: Path,
    out: Path,
    *,
    format: ExportFormat = "imagefolder",
    since: str | None = None,
    min_rating: int | None = None,
) -> str:
    """Export the feedback into the folder ``out``; ``since`` as a person types it. See export.export."""

    async def run() -> str:
        moment = None if since is None else parse_since(since)
        async with await _open(url, data_dir) as store:
            report = await export(store, out, format=format, since=moment, min_rating=min_rating)
        return f"{out}: {report}"

    return asyncio.run(run())


def run_stats(url: str, data_dir: Path) -> str:
    """The store in numbers."""

    async def run() -> str:
        async with await _open(url, data_dir) as store:
            return format_stats(await store.stats())

    return asyncio.run(run())


def run_erase(url: str, data_dir: Path, telegram_id: int) -> str:
    """Erase everything of the person with this Telegram number."""

    async def run() -> str:
        async with await _open(url, data_dir) as store:
            user = await store.find_user(telegram_id)
            if user is None:
                raise StoreError(f"Nobody has the Telegram id {telegram_id} in the database; check the id.")
            gone = await store.erase(user.id)
        return (
            f"Erased: {gone.pictures} pictures ({gone.files} kept files), {gone.captions} captions, "
            f"{gone.ratings} marks, {gone.corrections} corrections, {gone.jobs} jobs. "
            "Earlier exports are not changed: make them again."
        )

    return asyncio.run(run())


def format_stats(stats: Stats) -> str:
    """Plain text: totals, then a line a model and checkpoint."""
    jobs = ", ".join(f"{count} {state}" for state, count in sorted(stats.jobs.items())) or "none"
    lines = [
        f"People: {stats.users} ({stats.active_users} active, {stats.consenting_users} let pictures be kept)",
        f"Pictures: {stats.pictures} ({stats.kept_pictures} kept)",
        f"Jobs: {jobs}",
    ]
    for model in stats.models:
        rated = "not rated"
        if model.mean_rating is not None and model.interval is not None:
            low, high = model.interval
            marks = ", ".join(f"{mark}: {model.marks.get(mark, 0)}" for mark in range(1, 6))
            rated = (
                f"{model.ratings} marks by {model.raters} people, mean {model.mean_rating:.2f} of 5 "
                f"(95 %: {low:.2f} to {high:.2f}; {marks})"
            )
        lines.append(
            f"{model.model} ({model.checkpoint[:12]}): {model.captions} captions, {rated}, "
            f"{model.corrections} corrections, {model.variants} other versions asked for"
        )
    return "\n".join(lines)


async def _open(url: str, data_dir: Path) -> Store:
    address = database_url(url)
    if address.get_backend_name() == "sqlite" and address.database:
        missing = not await asyncio.to_thread(Path(address.database).exists)
        if missing:  # a mistyped path must not look like an empty database
            raise StoreError(f"No database at {address.database}; check DATABASE_URL, or start the bot.")
    return await Store.open(url, data_dir)
