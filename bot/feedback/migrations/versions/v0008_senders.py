"""Whose a picture is: that person's who sent it, not whoever asked. Telegram's own accounts own nothing.

Until now the asker was taken for the sender. In a private chat they are the same. In a group nobody can tell
any more: there a picture counts as the asker's for erasing, as it did, but nobody has allowed keeping it. So
the kept bytes go (the files at the next start, by ``removals``), and later exports say so.

What the accounts of Telegram's own (all anonymous administrators of all groups are one) had asked for belongs
from now on to the chat in which it stands; their settings and consent are gone.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SERVICE_ACCOUNTS = (777000, 1087968824, 136817688)


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("sender", sa.String(length=16), server_default=sa.text("''"), nullable=False)
    )
    op.create_index(op.f("ix_jobs_sender"), "jobs", ["sender"], unique=False)
    op.create_table(
        "sendings",
        sa.Column("picture_id", _ID, nullable=False),
        sa.Column("sender", sa.String(length=16), nullable=False),
        sa.Column("keeps", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["picture_id"], ["pictures.id"], name=op.f("fk_sendings_picture_id_pictures"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("picture_id", "sender", name=op.f("pk_sendings")),
    )
    op.create_index(op.f("ix_sendings_sender"), "sendings", ["sender"], unique=False)
    if not op.get_context().as_sql:
        _tell_senders(op.get_bind())


def _tell_senders(connection: sa.Connection) -> None:
    secret = connection.scalar(sa.text("SELECT value FROM secrets WHERE name = 'pseudonyms'"))
    if secret is None:  # nobody has used this database yet
        return

    def hide(name: str) -> str:  # as Store does
        return hmac.new(bytes.fromhex(secret), name.encode(), hashlib.sha256).hexdigest()[:16]

    _part_chats(connection)
    people = connection.execute(sa.text("SELECT id, telegram_id FROM users WHERE telegram_id > 0")).all()
    senders = [
        {"user": user_id, "sender": hide(f"sender {telegram_id}")}
        for user_id, telegram_id in people
        if telegram_id not in _SERVICE_ACCOUNTS
    ]
    if senders:
        connection.execute(sa.text("UPDATE jobs SET sender = :sender WHERE user_id = :user"), senders)
    connection.execute(
        sa.text(
            "UPDATE jobs SET keeps_picture = false WHERE keeps_picture AND NOT EXISTS "
            "(SELECT 1 FROM users WHERE users.id = jobs.user_id AND users.telegram_id = jobs.chat_id "
            "AND jobs.chat_id > 0)"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO sendings (picture_id, sender, keeps) "
            "SELECT captions.picture_id, jobs.sender, "
            "max(CASE WHEN jobs.keeps_picture THEN 1 ELSE 0 END) = 1 "
            "FROM jobs JOIN captions ON captions.id = jobs.caption_id "
            "GROUP BY captions.picture_id, jobs.sender"
        )
    )
    unkept = (
        "path IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM sendings WHERE sendings.picture_id = pictures.id AND sendings.keeps)"
    )
    gone = connection.execute(sa.text(f"SELECT path, sha256 FROM pictures WHERE {unkept}")).all()  # noqa: S608
    connection.execute(sa.text(f"UPDATE pictures SET path = NULL WHERE {unkept}"))  # noqa: S608
    tombstones = sa.table(
        "tombstones",
        sa.column("kind"),
        sa.column("pseudonym"),
        sa.column("erased_at", sa.DateTime(timezone=True)),
    )
    for sha256 in {sha256 for _, sha256 in gone}:
        name = hide(f"picture {sha256}")
        same = sa.and_(tombstones.c.kind == "picture", tombstones.c.pseudonym == name)
        connection.execute(sa.delete(tombstones).where(same))
        connection.execute(
            sa.insert(tombstones).values(kind="picture", pseudonym=name, erased_at=datetime.now(UTC))
        )
    for path in {path for path, _ in gone}:
        connection.execute(
            sa.text(
                "INSERT INTO removals (path) SELECT :path WHERE NOT EXISTS "
                "(SELECT 1 FROM removals WHERE path = :path)"
                # PostgreSQL asks of what kind a parameter is that stands in two places.
            ).bindparams(sa.bindparam("path", type_=sa.String())),
            {"path": path},
        )


def _part_chats(connection: sa.Connection) -> None:
    """Give what accounts of Telegram's own asked for to the chats in which they asked."""
    users = sa.table(
        "users",
        *(sa.column(name) for name in ("id", "telegram_id", "username", "language")),
        sa.column("language_chosen", sa.Boolean()),
        sa.column("consent", sa.Boolean()),
        sa.column("active", sa.Boolean()),
        sa.column("model"),
        sa.column("compare_with"),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    for telegram_id in _SERVICE_ACCOUNTS:
        account = connection.execute(
            sa.select(users.c.id, users.c.language, users.c.created_at).where(
                users.c.telegram_id == telegram_id
            )
        ).one_or_none()
        if account is None:
            continue
        connection.execute(
            sa.update(users)
            .where(users.c.id == account.id)
            .values(consent=False, model=None, compare_with=None, language_chosen=False)
        )
        chats = (
            connection.execute(
                sa.text("SELECT DISTINCT chat_id FROM jobs WHERE user_id = :user"), {"user": account.id}
            )
            .scalars()
            .all()
        )
        for chat_id in chats:
            owner = connection.scalar(sa.select(users.c.id).where(users.c.telegram_id == chat_id))
            if owner is None:
                connection.execute(
                    sa.insert(users).values(
                        telegram_id=chat_id,
                        language=account.language,
                        language_chosen=False,
                        consent=False,
                        active=True,
                        created_at=account.created_at,
                    )
                )
                owner = connection.scalar(sa.select(users.c.id).where(users.c.telegram_id == chat_id))
            connection.execute(
                sa.text("UPDATE jobs SET user_id = :owner WHERE user_id = :user AND chat_id = :chat"),
                {"owner": owner, "user": account.id, "chat": chat_id},
            )


def downgrade() -> None:
    op.drop_table("sendings")
    op.drop_index(op.f("ix_jobs_sender"), "jobs")
    op.drop_column("jobs", "sender")
