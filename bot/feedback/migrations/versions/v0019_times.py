"""What the operator's page asks of the last days is found by when it happened."""

from collections.abc import Sequence

from alembic import op

revision: str = "0019"
down_revision: str | Sequence[str] | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MARKS = ["updated_at", "caption_id", "mark"]


def upgrade() -> None:
    op.create_index(op.f("ix_jobs_state_updated_at"), "jobs", ["state", "updated_at"], unique=False)
    op.drop_index(op.f("ix_jobs_state"), "jobs")
    op.create_index(op.f("ix_ratings_updated_at_caption_id_mark"), "ratings", _MARKS, unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_ratings_updated_at_caption_id_mark"), "ratings")
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.drop_index(op.f("ix_jobs_state_updated_at"), "jobs")
