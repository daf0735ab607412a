"""The store on a real database file, and its exports on a real disk.

``TEST_DATABASE_URL=postgresql+asyncpg://...`` runs the same tests on PostgreSQL; that database is emptied.
"""
