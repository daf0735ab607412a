"""``python -m bot.feedback.migrations``: write down what all steps make of an empty SQLite database.

To be run behind a new step. By that file (``sqlite.sql``) :mod:`bot.feedback.upgrade` lays out a new
database, for which the steps need half a second.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection, create_engine

from bot.feedback.upgrade import LAYOUT, newest_revision, take_steps

__all__ = ["layout"]

_WRITTEN = (
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
    "ORDER BY type = 'trigger', type = 'index', iif(type = 'trigger', rowid, name)"
)
_CONSTRAINTS = re.compile(r"(?<=\n)\tCONSTRAINT .*(?:\n\tCONSTRAINT .*)*")


def layout(connection: Connection) -> str:
    """The statements that would make the tables, indexes and triggers of this database."""
    statements = [_CONSTRAINTS.sub(_sorted, sql) for (sql,) in connection.exec_driver_sql(_WRITTEN)]
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{newest_revision()}')")  # noqa: S608
    return re.sub(r"[ \t]+$", "", "".join(f"{sql};\n" for sql in statements), flags=re.MULTILINE)


def _sorted(constraints: re.Match[str]) -> str:
    """Alembic writes those of a table that it copies in any order, and makes its indexes so."""
    return ",\n".join(sorted(line.rstrip(", ") for line in constraints[0].split("\n")))


def main() -> None:
    """Write it."""
    with create_engine("sqlite://").begin() as connection:
        take_steps(connection)
        LAYOUT.write_text(layout(connection), encoding="utf-8")


if __name__ == "__main__":
    main()
