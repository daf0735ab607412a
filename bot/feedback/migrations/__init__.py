"""How the tables came to be: env.py, and versions/ with one file a step, applied by bot.feedback.upgrade.

A change of bot/feedback/tables.py needs a new step, which names its predecessor as ``down_revision``. A step
once released is never edited. ``tests/bot/feedback/test_migrations.py`` prints what the steps lack. Behind it
``python -m bot.feedback.migrations`` writes sqlite.sql anew, by which a new database of SQLite is laid out.
"""
