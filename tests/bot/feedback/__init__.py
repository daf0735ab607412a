"""The store on a real database file, and its exports on a real disk.

``TEST_DATABASE_URL=postgresql+asyncpg://...`` runs the same tests on PostgreSQL, and those of
``tests/bot/test_daily.py`` and ``tests/bot/test_retention.py``; that database is emptied.
``python -m tests.reliability.postgres`` starts a server for it.
"""
