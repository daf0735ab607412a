"""What stops a training, said so that the person who started it knows what to do."""

from __future__ import annotations

__all__ = ["TrainingError"]


class TrainingError(ValueError):
    """`str()` is one English sentence that names what is wrong and what to do."""
