"""Run by Alembic for every command, on the connection that bot.feedback.upgrade hands over."""

from alembic import context

from bot.feedback.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
