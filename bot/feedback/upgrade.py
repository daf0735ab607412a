"""Brings the tables of a database up to date: applies the steps of bot/feedback/migrations."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import URL

from bot.feedback.database import StoreError, create_engine

_LOCK = 0x6D656D65  # PostgreSQL's advisory lock (see database.py): two bots that start at once take turns
_FOLDER = Path(__file__).parent / "migrations"
LAYOUT = _FOLDER / "sqlite.sql"  # what all steps make of an empty database, see migrations/__main__.py

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
    engine = create_engine(url)
    try:
        writer = engine.execution_options(sqlite_begin="IMMEDIATE")
        async with writer.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    # Most starts find nothing to do, and the others mostly an empty file: neither waits for Alembic.
    if connection.dialect.name == "sqlite" and not connection.dialect.get_table_names(connection):
        for statement in _statements(LAYOUT.read_text(encoding="utf-8")):
            connection.exec_driver_sql(statement)
    if _revision(connection) != newest_revision():
        take_steps(connection)


def _statements(script: str) -> Iterator[str]:
    """Its statements, each of which ends with a line."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _revision(connection: Connection) -> str | None:
    """That of the last step that was taken; None: there was none."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def newest_revision() -> str:
    """That of the last step there is, with which its file's name begins: v0001_first_tables.py."""
    return max(path.name[1:5] for path in (_FOLDER / "versions").glob("v*.py"))


def take_steps(connection: Connection) -> None:
    """Take all steps that were not taken yet. Raises StoreError: somebody took others."""
    from alembic import command  # noqa: PLC0415 - slow to import
    from alembic.util import CommandError  # noqa: PLC0415

    configuration = alembic_config()
    configuration.attributes["connection"] = connection
    try:
        command.upgrade(configuration, "head")
    except CommandError as error:
        raise StoreError(
            f"The database was written by a newer version of this project ({error}); update the bot."
        ) from error


def alembic_config() -> Any:
    """Alembic's configuration, without an ini file. Its attribute ``connection`` is for the caller to set."""
    from alembic.config import Config  # noqa: PLC0415

    configuration = Config()
    configuration.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    return configuration
