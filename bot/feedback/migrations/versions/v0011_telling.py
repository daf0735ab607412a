"""How descriptions are told to a person: how much, where the words stand, in which language."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KIND = op.f("ck_shown_messages_kind")
_BEFORE = "kind IN ('caption', 'note', 'prompt', 'greeting', 'privacy', 'models', 'language')"
_AFTER = "kind IN ('caption', 'note', 'prompt', 'greeting', 'privacy', 'models', 'language', 'settings')"


def upgrade() -> None:
    for name, kind, default in (
        ("detail", sa.String(length=16), sa.text("'usual'")),
        ("quoting", sa.Boolean(), sa.true()),
        ("told_in", sa.String(length=8), sa.text("'ru'")),
    ):
        op.add_column("users", sa.Column(name, kind, server_default=default, nullable=False))
    _allow(_AFTER)


def downgrade() -> None:
    op.execute("DELETE FROM shown_messages WHERE kind = 'settings'")
    _allow(_BEFORE)
    for name in ("told_in", "quoting", "detail"):
        op.drop_column("users", name)


def _allow(kinds: str) -> None:
    """Let messages be of these kinds alone."""
    with op.batch_alter_table("shown_messages") as shown:
        shown.drop_constraint(_KIND, type_="check")
        shown.create_check_constraint(_KIND, kinds)
