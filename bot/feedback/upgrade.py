"""Brings the tables of a database up to date: applies the steps of bot/feedback/migrations."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import URL

from bot.feedback.database import StoreError, create_engine

_LOCK = 0x6D656D65  # PostgreSQL's advisory lock (see database.py): two bots that start at once take turns

# Alembic's environment is a module-wide proxy: one migration at a time in a process.
_one_migration = threading.Lock()


async def migrate(url: URL) -> None:
    """Bring the tables up to date. Works in a thread of its own, so that the event loop keeps serving.

    Raises StoreError when the database cannot be reached or is of a newer version of the project.
    """
    await asyncio.to_thread(_migrate_blocking, url)


def _migrate_blocking(url: URL) -> None:
    with _one_migration:
        asyncio.run(_migrate(url))


async def _migrate(url: URL) -> None:
    from alembic.util import CommandError  # noqa: PLC0415 - slow to import, and needed once

    engine = create_engine(url)
    try:
        writer = engine.execution_options(sqlite_begin="IMMEDIATE")
        async with writer.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            await connection.run_sync(_upgrade)
    except CommandError as error:
        raise StoreError(
            f"The database was written by a newer version of this project ({error}); update the bot."
        ) from error
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415

    configuration = alembic_config()
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


def alembic_config() -> Any:
    """Alembic's configuration, without an ini file. Its attribute ``connection`` is for the caller to set."""
    from alembic.config import Config  # noqa: PLC0415

    configuration = Config()
    folder = str(Path(__file__).parent / "migrations")
    configuration.set_main_option("script_location", folder.replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    return configuration
