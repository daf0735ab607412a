"""Which message tells a job's place in the queue: a bot that was killed left it in the chat."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("notice_message_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "notice_message_id")
