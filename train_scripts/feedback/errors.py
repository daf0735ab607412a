"""What a person can mend."""

from __future__ import annotations


class FeedbackError(ValueError):
    """The feedback cannot be learnt from, or the result not promoted: ``str()`` is one English sentence that
    says what to do.
    """
