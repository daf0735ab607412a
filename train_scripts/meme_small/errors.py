"""What a person can mend."""

from __future__ import annotations

__all__ = ["TrainingDataError"]


class TrainingDataError(ValueError):
    """The recipe has nothing to learn from, something else than its work folder was begun with, or no room
    for its state; ``str()`` is one sentence that says what to do.
    """
