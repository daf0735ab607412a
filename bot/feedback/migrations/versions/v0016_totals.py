"""What was said about each version of a model is counted as it is said, by triggers.

They count whatever happens to a row and whoever does it: a cascade of foreign keys, an older bot beside a
newer one, an operator's own statement. A step that copies one of their tables on SQLite takes them away with
the old table, and must make them again (tests/bot/feedback/test_totals.py would tell).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COUNTS = (*(f"mark_{mark}" for mark in range(1, 6)), "corrections", "variants")
_VERSION = (
    "captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint"
)


@dataclass(frozen=True)
class _Trigger:
    name: str
    table: str
    when: str  # "AFTER INSERT", "BEFORE DELETE" ...
    statements: Sequence[str]
    condition: str = ""  # of OLD and NEW


def _add(row: str, caption: str, counted: dict[str, str], where: str = "") -> str:
    """Add so much to these counts of the row's person and its caption's version."""
    added = ", ".join(f"{name} = totals.{name} + excluded.{name}" for name in counted)
    return (
        f"INSERT INTO totals (user_id, version_id, {', '.join(counted)}) "  # noqa: S608
        f"SELECT {row}.user_id, versions.id, {', '.join(counted.values())} FROM {_VERSION} "
        f"WHERE captions.id = {caption}{where} "
        f"ON CONFLICT (user_id, version_id) DO UPDATE SET {added}"
    )


def _change(row: str, caption: str, counted: dict[str, str], where: str = "") -> str:
    """Add so much where there is something; where the person goes too there may be nothing any more."""
    added = ", ".join(f"{name} = {name} + {number}" for name, number in counted.items())
    return (
        f"UPDATE totals SET {added} WHERE user_id = {row}.user_id AND version_id = "  # noqa: S608
        f"(SELECT versions.id FROM {_VERSION} WHERE captions.id = {caption}){where}"
    )


def _is(row: str, mark: int) -> str:
    return f"CASE WHEN {row}.mark = {mark} THEN 1 ELSE 0 END"


def _no_other(row: str) -> str:
    """The person has no other correction of this caption."""
    return (
        f" AND NOT EXISTS (SELECT 1 FROM corrections WHERE corrections.user_id = {row}.user_id "  # noqa: S608
        f"AND corrections.caption_id = {row}.caption_id AND corrections.id <> {row}.id)"
    )


_MARKED = {f"mark_{mark}": _is("NEW", mark) for mark in range(1, 6)}
_UNMARKED = {f"mark_{mark}": f"- {_is('OLD', mark)}" for mark in range(1, 6)}
_NEW, _OLD, _SOURCE = "NEW.caption_id", "OLD.caption_id", "OLD.source_caption_id"
_TRIGGERS = (
    _Trigger("totals_rated", "ratings", "AFTER INSERT", [_add("NEW", _NEW, _MARKED)]),
    _Trigger(
        "totals_rated_anew",
        "ratings",
        "AFTER UPDATE",
        [_change("OLD", _OLD, _UNMARKED), _change("NEW", _NEW, _MARKED)],
        "OLD.mark <> NEW.mark",
    ),
    _Trigger("totals_unrated", "ratings", "AFTER DELETE", [_change("OLD", _OLD, _UNMARKED)]),
    _Trigger(
        "totals_corrected",
        "corrections",
        "AFTER INSERT",
        [_add("NEW", _NEW, {"corrections": "1"}, _no_other("NEW"))],
    ),
    _Trigger(  # before: after the statement, all that it deletes is gone in PostgreSQL
        "totals_uncorrected",
        "corrections",
        "BEFORE DELETE",
        [_change("OLD", _OLD, {"corrections": "- 1"}, _no_other("OLD"))],
    ),
    _Trigger(
        "totals_asked",
        "jobs",
        "AFTER INSERT",
        [_add("NEW", "NEW.source_caption_id", {"variants": "1"})],
        "NEW.source_caption_id IS NOT NULL",
    ),
    _Trigger(
        "totals_unasked",
        "jobs",
        "AFTER DELETE",
        [_change("OLD", _SOURCE, {"variants": "- 1"})],
        "OLD.source_caption_id IS NOT NULL",
    ),
    _Trigger(
        "totals_source_gone",
        "jobs",
        "AFTER UPDATE",
        [_change("OLD", _SOURCE, {"variants": "- 1"})],
        "OLD.source_caption_id IS NOT NULL AND NEW.source_caption_id IS NULL",
    ),
    _Trigger(
        "totals_captioned",
        "captions",
        "AFTER INSERT",
        [
            "INSERT INTO versions (model, checkpoint, captions) VALUES (NEW.model, NEW.checkpoint, 1) "
            "ON CONFLICT (model, checkpoint) DO UPDATE SET captions = versions.captions + 1"
        ],
    ),
    _Trigger(  # what hangs on a caption goes while the caption still says of which version it is
        "totals_caption_gone",
        "captions",
        "BEFORE DELETE",
        [
            "DELETE FROM ratings WHERE caption_id = OLD.id",
            "DELETE FROM corrections WHERE caption_id = OLD.id",
            "UPDATE jobs SET source_caption_id = NULL WHERE source_caption_id = OLD.id",
            "UPDATE versions SET captions = captions - 1 "
            "WHERE model = OLD.model AND checkpoint = OLD.checkpoint",
        ],
    ),
)


def _statements(trigger: _Trigger, dialect: str) -> Iterator[str]:
    body = " ".join(f"{statement};" for statement in trigger.statements)
    condition = f"WHEN ({trigger.condition}) " if trigger.condition else ""
    head = f"CREATE TRIGGER {trigger.name} {trigger.when} ON {trigger.table} FOR EACH ROW {condition}"
    if dialect == "sqlite":
        yield f"{head}BEGIN {body} END"
        return
    goes_on = "OLD" if trigger.when.startswith("BEFORE") else "NULL"
    yield (
        f"CREATE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN {goes_on}; END $$"
    )
    yield f"{head}EXECUTE FUNCTION {trigger.name}()"


def upgrade() -> None:
    op.create_table(
        "versions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=False),
        sa.Column("captions", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("model", "checkpoint", name=op.f("uq_versions_model_checkpoint")),
    )
    op.create_table(
        "totals",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("version_id", _ID, nullable=False),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in _COUNTS),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_totals_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_totals_version_id_versions")),
        sa.PrimaryKeyConstraint("user_id", "version_id", name=op.f("pk_totals")),
    )
    # First, so that PostgreSQL lets no older bot write to these tables until all is counted.
    for trigger in _TRIGGERS:
        for statement in _statements(trigger, op.get_context().dialect.name):
            op.execute(statement)
    op.execute(
        "INSERT INTO versions (model, checkpoint, captions) "
        "SELECT model, checkpoint, count(*) FROM captions GROUP BY model, checkpoint"
    )
    _fill({f"mark_{mark}": f"sum({_is('said', mark)})" for mark in range(1, 6)}, "ratings")
    _fill({"corrections": "count(*)"}, "(SELECT DISTINCT user_id, caption_id FROM corrections)")
    _fill(
        {"variants": "count(*)"},
        "(SELECT user_id, source_caption_id AS caption_id FROM jobs WHERE source_caption_id IS NOT NULL)",
    )


def _fill(counted: dict[str, str], said: str) -> None:
    """Count what there is by person and version."""
    names = ", ".join(counted)
    # With the sign, SQLite does not go by the index of people, and so all over the captions, but in the order
    # in which things were said, which is about that of the captions.
    by = "+said.user_id, versions.id"
    op.execute(
        f"INSERT INTO totals (user_id, version_id, {names}) "  # noqa: S608
        f"SELECT {by}, {', '.join(counted.values())} FROM {said} AS said "
        "JOIN captions ON captions.id = said.caption_id "
        "JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint "
        f"WHERE true GROUP BY {by} "
        "ON CONFLICT (user_id, version_id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in counted)
    )


def downgrade() -> None:
    on_postgresql = op.get_context().dialect.name == "postgresql"
    for trigger in _TRIGGERS:
        op.execute(
            f"DROP FUNCTION {trigger.name}() CASCADE" if on_postgresql else f"DROP TRIGGER {trigger.name}"
        )
    op.drop_table("totals")
    op.drop_table("versions")
