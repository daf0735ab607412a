"""The first tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("id", _ID, nullable=False),
        sa.Column("file_unique_id", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=128), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pictures")),
        sa.UniqueConstraint("file_unique_id", name=op.f("uq_pictures_file_unique_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_pictures_path"), "pictures", ["path"], unique=False)

    op.create_table(
        "removals",
        sa.Column("path", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_removals")),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.create_table(
        "users",
        sa.Column("id", _ID, nullable=False),
        sa.Column("telegram_id", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=True),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("language_chosen", sa.Boolean(), nullable=False),
        sa.Column("consent", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("telegram_id", name=op.f("uq_users_telegram_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "captions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("picture_id", _ID, nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("options_key", sa.String(length=64), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["picture_id"], ["pictures.id"], name=op.f("fk_captions_picture_id_pictures"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_captions")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_captions_cache", "captions", ["picture_id", "model", "checkpoint", "options_key"], unique=False
    )

    op.create_table(
        "corrections",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("caption_id", _ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["caption_id"],
            ["captions.id"],
            name=op.f("fk_corrections_caption_id_captions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_corrections_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_corrections_caption_id"), "corrections", ["caption_id"], unique=False)
    op.create_index(
        op.f("ix_corrections_user_id_caption_id"), "corrections", ["user_id", "caption_id"], unique=False
    )

    op.create_table(
        "jobs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("file_id", sa.String(length=256), nullable=False),
        sa.Column("file_unique_id", sa.String(length=64), nullable=False),
        sa.Column("options", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("options_key", sa.String(length=64), nullable=False),
        sa.Column("source_caption_id", _ID, nullable=True),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("caption_id", _ID, nullable=True),
        sa.Column("keeps_picture", sa.Boolean(), nullable=False),
        sa.Column("sending_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reply_message_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('caption', 'variant')", name=op.f("ck_jobs_kind")),
        sa.CheckConstraint(
            "state IN ('accepted', 'working', 'answered', 'failed')", name=op.f("ck_jobs_state")
        ),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["captions.id"], name=op.f("fk_jobs_caption_id_captions"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["source_caption_id"],
            ["captions.id"],
            name=op.f("fk_jobs_source_caption_id_captions"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_jobs_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint(
            "chat_id",
            "message_id",
            "kind",
            "options_key",
            name=op.f("uq_jobs_chat_id_message_id_kind_options_key"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_jobs_caption_id"), "jobs", ["caption_id"], unique=False)
    op.create_index(
        op.f("ix_jobs_chat_id_reply_message_id"), "jobs", ["chat_id", "reply_message_id"], unique=False
    )
    op.create_index(op.f("ix_jobs_source_caption_id"), "jobs", ["source_caption_id"], unique=False)
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_index(op.f("ix_jobs_user_id"), "jobs", ["user_id"], unique=False)

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

    op.create_table(
        "ratings",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("caption_id", _ID, nullable=False),
        sa.Column("mark", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("mark BETWEEN 1 AND 5", name=op.f("ck_ratings_mark")),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["captions.id"], name=op.f("fk_ratings_caption_id_captions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_ratings_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "caption_id", name=op.f("pk_ratings")),
    )
    op.create_index(op.f("ix_ratings_caption_id"), "ratings", ["caption_id"], unique=False)


def downgrade() -> None:
    for table in (
        "ratings",
        "prompts",
        "jobs",
        "corrections",
        "captions",
        "users",
        "secrets",
        "removals",
        "pictures",
    ):
        op.drop_table(table)
