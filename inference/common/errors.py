"""What a person can mend."""

from __future__ import annotations


class UserError(Exception):
    """``str()`` is one English sentence that says what is wrong and what to do.

    Whatever a person may meet is one: the commands end with its sentence, without a traceback. A subclass is
    for those who handle that one otherwise.
    """
