"""Questions about pictures, and their answers: turns; a question is a job of its own kind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ABOUT = "fk_jobs_about_caption_id_captions"
_JOBS = ("kind IN ('caption', 'variant')", "kind IN ('caption', 'variant', 'question')")
_SHOWN = tuple(
    f"kind IN ('caption', {more}'note', 'prompt', 'greeting', 'privacy', 'models', 'language', 'settings')"
    for more in ("", "'text', ")
)


def upgrade() -> None:
    op.add_column("captions", sa.Column("asker_id", _ID, nullable=True))
    op.create_index(op.f("ix_captions_asker_id"), "captions", ["asker_id"], unique=False)
    with _jobs_copied(), op.batch_alter_table("jobs", table_kwargs={"sqlite_autoincrement": True}) as jobs:
        jobs.drop_constraint(op.f("ck_jobs_kind"), type_="check")
        jobs.create_check_constraint(op.f("ck_jobs_kind"), _JOBS[1])
        jobs.add_column(sa.Column("question", sa.Text(), nullable=True))
        jobs.add_column(sa.Column("about_caption_id", _ID, nullable=True))
        jobs.create_foreign_key(op.f(_ABOUT), "captions", ["about_caption_id"], ["id"], ondelete="SET NULL")
    op.create_index(op.f("ix_jobs_about_caption_id"), "jobs", ["about_caption_id"], unique=False)
    _show(_SHOWN[1])
    op.create_table(
        "turns",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("caption_id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=False),
        sa.Column("program", sa.String(length=16), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["captions.id"], name=op.f("fk_turns_caption_id_captions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_turns_job_id_jobs"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_turns_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turns")),
        sqlite_autoincrement=True,
    )
    for column in ("user_id", "caption_id", "job_id"):
        op.create_index(op.f(f"ix_turns_{column}"), "turns", [column], unique=False)


def downgrade() -> None:
    op.drop_table("turns")
    op.execute("DELETE FROM shown_messages WHERE kind = 'text'")
    _show(_SHOWN[0])
    op.execute("DELETE FROM jobs WHERE kind = 'question'")
    op.drop_index(op.f("ix_jobs_about_caption_id"), "jobs")
    with _jobs_copied(), op.batch_alter_table("jobs", table_kwargs={"sqlite_autoincrement": True}) as jobs:
        jobs.drop_constraint(op.f("ck_jobs_kind"), type_="check")
        jobs.create_check_constraint(op.f("ck_jobs_kind"), _JOBS[0])
        jobs.drop_constraint(op.f(_ABOUT), type_="foreignkey")
        jobs.drop_column("about_caption_id")
        jobs.drop_column("question")
    # What answers a person's question would be told to everybody.
    op.execute("DELETE FROM captions WHERE asker_id IS NOT NULL")
    op.drop_index(op.f("ix_captions_asker_id"), "captions")
    op.drop_column("captions", "asker_id")


def _show(kinds: str) -> None:
    """Let messages be of these kinds alone."""
    with op.batch_alter_table("shown_messages") as shown:
        shown.drop_constraint(op.f("ck_shown_messages_kind"), type_="check")
        shown.create_check_constraint(op.f("ck_shown_messages_kind"), kinds)


@contextmanager
def _jobs_copied() -> Iterator[None]:
    """SQLite alters the jobs by copying them: what refers to them, the numbers that were given and the
    triggers stay.
    """
    if op.get_context().dialect.name == "postgresql":
        yield
        return
    triggers = (
        op.get_bind().execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    )
    for name, _ in triggers:
        op.execute(f"DROP TRIGGER {name}")
    # With a key: without one, each of a million messages looks through a million rows.
    op.execute("CREATE TEMPORARY TABLE shown_jobs (id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL)")
    op.execute(
        "INSERT INTO shown_jobs (id, job_id) SELECT id, job_id FROM shown_messages WHERE job_id IS NOT NULL"
    )
    op.execute("CREATE TEMPORARY TABLE given AS SELECT name, seq FROM sqlite_sequence WHERE name = 'jobs'")
    yield
    op.execute(
        "UPDATE shown_messages SET job_id = "
        "(SELECT job_id FROM shown_jobs WHERE shown_jobs.id = shown_messages.id) "
        "WHERE id IN (SELECT id FROM shown_jobs)"
    )
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs'")
    op.execute("INSERT INTO sqlite_sequence (name, seq) SELECT name, seq FROM given")
    op.execute("DROP TABLE shown_jobs")
    op.execute("DROP TABLE given")
    for _, sql in triggers:
        op.execute(sa.text(sql.replace(":", r"\:")))
