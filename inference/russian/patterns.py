"""The patterns of the word lists: in them * stands for any letters or none, ? for one sign or none, and ...
at the end for any words more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIGNS = {r"\ \.\.\.": r"(?:\ .*)?", r"\*": r"\w*", r"\?": ".?"}


def alternatives(patterns: Iterable[str]) -> str:
    """A regular expression of any of them, the longest first, in a group of its own."""
    longest_first = sorted(patterns, key=lambda pattern: (-len(pattern), pattern))
    return f"(?:{'|'.join(map(_expression, longest_first))})"


def _expression(pattern: str) -> str:
    written = re.escape(pattern)
    for sign, expression in _SIGNS.items():
        written = written.replace(sign, expression)
    return written
