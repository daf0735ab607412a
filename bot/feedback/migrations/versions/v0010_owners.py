"""Which process works on a picture, by the database's clock, and how often Telegram's answer was lost."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("owner", sa.String(length=16), nullable=True))
    op.add_column("jobs", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("lost_answers", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    for name in ("lost_answers", "held_at", "owner"):
        op.drop_column("jobs", name)
