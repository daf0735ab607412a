"""What the operator's page shows is counted as it happens, by triggers, as what was said of models is (0016).

Of each day in rows that are only added: one row a day that everybody changes would have them wait for each
other, and lock it in any order. Of each caption in one row, which whoever marks it changes last of all. A
step that copies ratings, jobs or pictures on SQLite must make these triggers again, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | Sequence[str] | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BY_TIME = ["updated_at", "caption_id", "mark"]  # of marks
_LOW = ["shortfall", "marks", "caption_id", "marked_at"]  # of scores
_DAYS = {  # SQLite has moments as texts
    "sqlite": "substr({}.updated_at, 1, 10)",
    "postgresql": "to_char({}.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
_ENDED = "{}.state IN ('answered', 'failed')"
_FAILURE = "CASE WHEN {0}.state = 'failed' THEN coalesce({0}.failure, '') ELSE '' END"


@dataclass(frozen=True)
class _Trigger:
    name: str  # PostgreSQL runs those of one event in the order of their names: behind "totals_rated"
    table: str
    when: str  # "AFTER INSERT", "AFTER UPDATE OF mark" ...
    statements: Sequence[str]
    condition: str = ""  # of OLD and NEW


def _marked(row: str, day: str, number: int) -> str:
    return (
        "INSERT INTO tallies (day, kind, detail, number) "  # noqa: S608
        f"VALUES ({day.format(row)}, 'mark', CAST({row}.mark AS VARCHAR(1)), {number})"
    )


def _ended(row: str, day: str, number: int) -> str:
    return (
        "INSERT INTO tallies (day, kind, detail, number) "
        f"SELECT {day.format(row)}, {row}.state, {_FAILURE.format(row)}, {number} WHERE {_ENDED.format(row)}"
    )


def _scored(marks: str, total: str) -> str:
    """So many marks with this sum."""
    return f"marks = {marks}, total = {total}, shortfall = 5.0 - ({total}) * 1.0 / ({marks})"


_SCORE = (
    "INSERT INTO scores (caption_id, marks, total, shortfall, kept, marked_at) "
    "SELECT NEW.caption_id, 1, NEW.mark, 5.0 - NEW.mark, pictures.path IS NOT NULL, NEW.updated_at "
    "FROM captions JOIN pictures ON pictures.id = captions.picture_id WHERE captions.id = NEW.caption_id "
    "ON CONFLICT (caption_id) DO UPDATE SET "
    + _scored("scores.marks + 1", "scores.total + excluded.total")
    + ", kept = excluded.kept, marked_at = excluded.marked_at"
)
_RESCORE = (
    f"UPDATE scores SET {_scored('marks', 'total + NEW.mark - OLD.mark')}, marked_at = NEW.updated_at "  # noqa: S608
    "WHERE caption_id = NEW.caption_id"
)
_UNSCORE = (
    "DELETE FROM scores WHERE caption_id = OLD.caption_id AND marks = 1",
    f"UPDATE scores SET {_scored('marks - 1', 'total - OLD.mark')} "  # noqa: S608
    "WHERE caption_id = OLD.caption_id AND marks > 1",
)


def _triggers(dialect: str) -> Iterator[_Trigger]:
    day = _DAYS[dialect]
    yield _Trigger("totals_tallied", "ratings", "AFTER INSERT", [_marked("NEW", day, 1), _SCORE])
    yield _Trigger(
        "totals_tallied_anew",
        "ratings",
        "AFTER UPDATE OF mark, updated_at",
        [_marked("OLD", day, -1), _marked("NEW", day, 1), _RESCORE],
    )
    yield _Trigger("totals_untallied", "ratings", "AFTER DELETE", [_marked("OLD", day, -1), *_UNSCORE])
    yield _Trigger(
        "tallies_of_jobs_made", "jobs", "AFTER INSERT", [_ended("NEW", day, 1)], _ENDED.format("NEW")
    )
    yield _Trigger(
        "tallies_of_jobs_changed",
        "jobs",
        "AFTER UPDATE OF state, failure, updated_at",
        [_ended("OLD", day, -1), _ended("NEW", day, 1)],
        f"{_ENDED.format('OLD')} OR {_ENDED.format('NEW')}",
    )
    yield _Trigger(
        "tallies_of_jobs_gone", "jobs", "AFTER DELETE", [_ended("OLD", day, -1)], _ENDED.format("OLD")
    )
    yield _Trigger(
        "scores_of_pictures",
        "pictures",
        "AFTER UPDATE OF path",
        [
            "UPDATE scores SET kept = (NEW.path IS NOT NULL) "
            "WHERE caption_id IN (SELECT id FROM captions WHERE picture_id = NEW.id)"
        ],
        "(OLD.path IS NULL) <> (NEW.path IS NULL)",
    )


def _statements(trigger: _Trigger, dialect: str) -> Iterator[str]:
    body = " ".join(f"{statement};" for statement in trigger.statements)
    condition = f"WHEN ({trigger.condition}) " if trigger.condition else ""
    head = f"CREATE TRIGGER {trigger.name} {trigger.when} ON {trigger.table} FOR EACH ROW {condition}"
    if dialect == "sqlite":
        yield f"{head}BEGIN {body} END"
        return
    yield (
        f"CREATE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN NULL; END $$"
    )
    yield f"{head}EXECUTE FUNCTION {trigger.name}()"


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("id", _ID, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("detail", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallies")),
    )
    op.create_table(
        "scores",
        sa.Column("caption_id", _ID, nullable=False),
        sa.Column("marks", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("shortfall", sa.Float(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["captions.id"], name=op.f("fk_scores_caption_id_captions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("caption_id", name=op.f("pk_scores")),
    )
    dialect = op.get_context().dialect.name
    # First, so that PostgreSQL lets no older bot write to these tables until all is counted.
    for trigger in _triggers(dialect):
        for statement in _statements(trigger, dialect):
            op.execute(statement)
    day = _DAYS[dialect]
    op.execute(
        "INSERT INTO tallies (day, kind, detail, number) "  # noqa: S608
        f"SELECT {day.format('ratings')}, 'mark', CAST(mark AS VARCHAR(1)), count(*) "
        "FROM ratings GROUP BY 1, 3"
    )
    op.execute(
        "INSERT INTO tallies (day, kind, detail, number) "  # noqa: S608
        f"SELECT {day.format('jobs')}, state, {_FAILURE.format('jobs')}, count(*) FROM jobs "
        f"WHERE {_ENDED.format('jobs')} GROUP BY 1, 2, 3"
    )
    op.execute(
        "INSERT INTO scores (caption_id, marks, total, shortfall, kept, marked_at) "
        "SELECT said.caption_id, said.marks, said.total, 5.0 - said.total * 1.0 / said.marks, "
        "pictures.path IS NOT NULL, said.marked_at "
        "FROM (SELECT caption_id, count(*) AS marks, sum(mark) AS total, max(updated_at) AS marked_at "
        "FROM ratings GROUP BY caption_id) AS said "
        "JOIN captions ON captions.id = said.caption_id JOIN pictures ON pictures.id = captions.picture_id"
    )
    op.create_index(
        op.f("ix_scores_shortfall_marks_caption_id_marked_at"),
        "scores",
        _LOW,
        unique=False,
        sqlite_where=sa.text("kept = 1"),
        postgresql_where=sa.text("kept"),
    )
    # What the page asked of a time; each mark and each change of a job had to go into them.
    op.drop_index(op.f("ix_ratings_updated_at_caption_id_mark"), "ratings")
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.drop_index(op.f("ix_jobs_state_updated_at"), "jobs")


def downgrade() -> None:
    op.create_index(op.f("ix_jobs_state_updated_at"), "jobs", ["state", "updated_at"], unique=False)
    op.drop_index(op.f("ix_jobs_state"), "jobs")
    op.create_index(op.f("ix_ratings_updated_at_caption_id_mark"), "ratings", _BY_TIME, unique=False)
    dialect = op.get_context().dialect.name
    for trigger in _triggers(dialect):
        op.execute(
            f"DROP FUNCTION {trigger.name}() CASCADE"
            if dialect == "postgresql"
            else f"DROP TRIGGER {trigger.name}"
        )
    op.drop_table("scores")
    op.drop_table("tallies")
