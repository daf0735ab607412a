"""A picture may be described by three models: several names to compare with, one a line."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COLUMNS = (("users", "compare_with"), ("jobs", "compared_with"))


def upgrade() -> None:
    for table, column in _COLUMNS:
        _replace(table, column, sa.Text(), sa.column(column))


def downgrade() -> None:
    for table, column in _COLUMNS:
        _replace(table, column, sa.String(length=128), _first_line(sa.column(column)))


def _first_line(names: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    if op.get_context().dialect.name == "postgresql":
        return sa.func.split_part(names, "\n", 1)
    return sa.func.substr(names, 1, sa.func.instr(names.concat("\n"), "\n") - 1)


def _replace(table: str, column: str, kind: sa.types.TypeEngine[str], value: sa.ColumnElement[Any]) -> None:
    """The same column of another type: SQLite alters none, and copying a table erases what refers to it."""
    fresh = f"new_{column}"
    op.add_column(table, sa.Column(fresh, kind, nullable=True))
    op.execute(sa.update(sa.table(table, sa.column(fresh))).values({fresh: value}))
    op.drop_column(table, column)
    op.alter_column(table, fresh, new_column_name=column)
