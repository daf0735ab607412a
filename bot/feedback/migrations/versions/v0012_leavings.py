"""Erasures that take several transactions are written down; lost answers are counted by an index."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LOST = sa.text("lost_answers > 0")


def upgrade() -> None:
    op.create_table(
        "leavings",
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_leavings_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_leavings")),
    )
    op.create_index(
        op.f("ix_jobs_lost_answers"),
        "jobs",
        ["lost_answers"],
        unique=False,
        sqlite_where=_LOST,
        postgresql_where=_LOST,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_jobs_lost_answers"), "jobs")
    op.drop_table("leavings")
