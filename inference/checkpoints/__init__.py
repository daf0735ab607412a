"""Checkpoints on disk: their names, their format, what vouches for them, and how they are fetched."""
