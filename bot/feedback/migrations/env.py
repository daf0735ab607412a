"""Run by Alembic for every command, on the connection that bot.feedback.database hands over."""

from typing import Any, Literal

from alembic import context

from bot.feedback.tables import Table, UTCDateTime


def _render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    # A migration must mean the same for ever, so it names no type of ours.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
