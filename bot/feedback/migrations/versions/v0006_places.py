"""Where a job's picture was sent, to the topic; and of one message several pictures may be answered.

A message holds several (a rich message), or after an edit another one.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD = "uq_jobs_chat_id_message_id_kind_options_key_model_part"
_KEY = ("chat_id", "message_id", "kind", "options_key", "model", "part")
_NEW = "uq_jobs_picture"
# SQLite alters this table by copying it, and does not copy these by itself.
_CHECKS = (
    sa.CheckConstraint("kind IN ('caption', 'variant')", name=op.f("ck_jobs_kind")),
    sa.CheckConstraint("state IN ('accepted', 'working', 'answered', 'failed')", name=op.f("ck_jobs_state")),
)
_KEPT = {"sqlite_autoincrement": True}


def upgrade() -> None:
    with op.batch_alter_table("jobs", table_args=_CHECKS, table_kwargs=_KEPT) as jobs:
        jobs.add_column(sa.Column("message_thread_id", sa.BigInteger(), nullable=True))
        jobs.add_column(sa.Column("business_connection_id", sa.String(128), nullable=True))
        jobs.add_column(sa.Column("direct_messages_topic_id", sa.BigInteger(), nullable=True))
        jobs.drop_constraint(_OLD, type_="unique")
        jobs.create_unique_constraint(op.f(_NEW), [*_KEY, "file_unique_id"])


def downgrade() -> None:
    # Of several pictures of one message, the old tables hold one.
    op.execute(
        "DELETE FROM jobs WHERE id NOT IN (SELECT min(id) FROM jobs GROUP BY "
        "chat_id, message_id, kind, options_key, model, part)"
    )
    with op.batch_alter_table("jobs", table_args=_CHECKS, table_kwargs=_KEPT) as jobs:
        jobs.drop_constraint(op.f(_NEW), type_="unique")
        jobs.create_unique_constraint(_OLD, list(_KEY))
        jobs.drop_column("direct_messages_topic_id")
        jobs.drop_column("business_connection_id")
        jobs.drop_column("message_thread_id")
