"""Which model a person chose, and which one is to answer a job; updates that come by webhook."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD = "uq_jobs_chat_id_message_id_kind_options_key"
_KEY = ("chat_id", "message_id", "kind", "options_key")
_NEW = "uq_jobs_chat_id_message_id_kind_options_key_model_part"
# SQLite alters this table by copying it, and does not copy these by itself.
_CHECKS = (
    sa.CheckConstraint("kind IN ('caption', 'variant')", name=op.f("ck_jobs_kind")),
    sa.CheckConstraint("state IN ('accepted', 'working', 'answered', 'failed')", name=op.f("ck_jobs_state")),
)
_KEPT = {"sqlite_autoincrement": True}


def upgrade() -> None:
    op.add_column("users", sa.Column("model", sa.String(length=128), nullable=True))
    op.add_column("users", sa.Column("compare_with", sa.String(length=128), nullable=True))
    with op.batch_alter_table("jobs", table_args=_CHECKS, table_kwargs=_KEPT) as jobs:
        jobs.add_column(
            sa.Column("model", sa.String(length=128), server_default=sa.text("''"), nullable=False)
        )
        jobs.add_column(sa.Column("part", sa.SmallInteger(), server_default="0", nullable=False))
        jobs.add_column(sa.Column("compared_with", sa.String(length=128), nullable=True))
        jobs.drop_constraint(_OLD, type_="unique")
        jobs.create_unique_constraint(_NEW, [*_KEY, "model", "part"])
    op.create_table(
        "posted_updates",
        sa.Column("update_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("telegram_id", sa.BigInteger(), nullable=True),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("update_id", name=op.f("pk_posted_updates")),
    )
    op.create_index(op.f("ix_posted_updates_held_at"), "posted_updates", ["held_at"], unique=False)
    op.create_index(op.f("ix_posted_updates_telegram_id"), "posted_updates", ["telegram_id"], unique=False)


def downgrade() -> None:
    op.drop_table("posted_updates")
    # Of several answers to one message, the old tables hold one.
    op.execute(
        "DELETE FROM jobs WHERE id NOT IN (SELECT min(id) FROM jobs GROUP BY "
        "chat_id, message_id, kind, options_key)"
    )
    with op.batch_alter_table("jobs", table_args=_CHECKS, table_kwargs=_KEPT) as jobs:
        jobs.drop_constraint(_NEW, type_="unique")
        jobs.create_unique_constraint(_OLD, list(_KEY))
        jobs.drop_column("compared_with")
        jobs.drop_column("part")
        jobs.drop_column("model")
    op.drop_column("users", "compare_with")
    op.drop_column("users", "model")
