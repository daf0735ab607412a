"""Of which kind a failure was, to be counted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("failure", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "failure")
