"""What a person can mend."""

from __future__ import annotations

__all__ = ["ReaderError"]


class ReaderError(ValueError):
    """The recogniser cannot be trained: ``str()`` is one sentence that says what to do."""
