"""Where a job's picture was sent, to the topic: what is said of it goes there."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("message_thread_id", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("business_connection_id", sa.String(128), nullable=True))
    op.add_column("jobs", sa.Column("direct_messages_topic_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "direct_messages_topic_id")
    op.drop_column("jobs", "business_connection_id")
    op.drop_column("jobs", "message_thread_id")
