"""Which program wrote a caption: one of before an update is not given again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "captions", sa.Column("program", sa.String(length=16), server_default=sa.text("''"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("captions", "program")
