"""Alembic's environment: env.py and the versions, oldest first."""
