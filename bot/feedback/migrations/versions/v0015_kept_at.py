"""Since when a picture is kept."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("pictures", sa.Column("kept_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE pictures SET kept_at = created_at WHERE path IS NOT NULL")
    op.create_index(op.f("ix_pictures_kept_at"), "pictures", ["kept_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_pictures_kept_at"), table_name="pictures")
    op.drop_column("pictures", "kept_at")
