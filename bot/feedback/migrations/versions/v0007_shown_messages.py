"""Which message shows what: a press, or an answer to a prompt, counts only for that.

The descriptions sent so far are known by their jobs, the prompts by their own table. Buttons sent so far
have no signature: their rows say so (see bot.middlewares.buttons). What was sent without being written down
(pages, descriptions shown again) has no row; its buttons ask for the picture or the command once more.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "shown_messages",
        sa.Column("id", _ID, nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("inline_message_id", sa.String(length=128), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("caption_id", _ID, nullable=True),
        sa.Column("job_id", _ID, nullable=True),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("unsigned", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('caption', 'note', 'prompt', 'greeting', 'privacy', 'models', 'language')",
            name=op.f("ck_shown_messages_kind"),
        ),
        sa.CheckConstraint(
            "(chat_id IS NOT NULL AND message_id IS NOT NULL) <> (inline_message_id IS NOT NULL)",
            name=op.f("ck_shown_messages_place"),
        ),
        sa.ForeignKeyConstraint(
            ["caption_id"],
            ["captions.id"],
            name=op.f("fk_shown_messages_caption_id_captions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_shown_messages_job_id_jobs"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_shown_messages_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shown_messages")),
        sa.UniqueConstraint("chat_id", "message_id", name=op.f("uq_shown_messages_chat_id_message_id")),
        sa.UniqueConstraint("inline_message_id", name=op.f("uq_shown_messages_inline_message_id")),
    )
    for column in ("caption_id", "job_id", "user_id"):
        op.create_index(op.f(f"ix_shown_messages_{column}"), "shown_messages", [column], unique=False)
    # A private chat has its person's number.
    op.execute(
        "INSERT INTO shown_messages "
        "(chat_id, message_id, kind, caption_id, job_id, user_id, unsigned, created_at) "
        "SELECT jobs.chat_id, jobs.reply_message_id, 'caption', jobs.caption_id, jobs.id, users.id, true, "
        "jobs.updated_at FROM jobs LEFT JOIN users ON users.telegram_id = jobs.chat_id WHERE jobs.id IN "
        "(SELECT max(id) FROM jobs WHERE reply_message_id IS NOT NULL AND caption_id IS NOT NULL "
        "GROUP BY chat_id, reply_message_id)"
    )
    op.execute(
        "INSERT INTO shown_messages (chat_id, message_id, kind, caption_id, user_id, unsigned, created_at) "
        "SELECT chat_id, message_id, 'prompt', caption_id, user_id, false, created_at FROM prompts "
        "WHERE NOT EXISTS (SELECT 1 FROM shown_messages WHERE shown_messages.chat_id = prompts.chat_id "
        "AND shown_messages.message_id = prompts.message_id)"
    )
    op.drop_table("prompts")


def downgrade() -> None:
    op.create_table(
        "prompts",
        sa.Column("chat_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("caption_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["captions.id"], name=op.f("fk_prompts_caption_id_captions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_prompts_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chat_id", "message_id", name=op.f("pk_prompts")),
    )
    op.create_index(op.f("ix_prompts_caption_id"), "prompts", ["caption_id"], unique=False)
    op.create_index(op.f("ix_prompts_user_id"), "prompts", ["user_id"], unique=False)
    op.execute(
        "INSERT INTO prompts (chat_id, message_id, caption_id, user_id, created_at) "
        "SELECT chat_id, message_id, caption_id, user_id, created_at FROM shown_messages "
        "WHERE kind = 'prompt'"
    )
    op.drop_table("shown_messages")
