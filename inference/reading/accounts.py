"""Accounts on a screenshot of a post: who wrote it, and the names that stand over them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from inference.reading.candidates import Candidate
from inference.reading.geometry import Box
from inference.russian.lexicon import as_latin
from inference.russian.lists import LISTS

_ACCOUNT = re.compile(r"(?:^|\s)@([a-z0-9_]{3,})(?:\s|$)", re.IGNORECASE)
_REPLY = re.compile(rf"{LISTS.sites.answer}|repl", re.IGNORECASE)


def is_name(line: Candidate, lines: Sequence[Candidate]) -> bool:
    """Whether a line is the name that stands over an account ("Иван" over "@ivan"): who writes, not what."""
    return any(
        len(other.words) <= 2 and other.text.startswith("@") and _stands_over(line, other)
        for other in lines
        if other is not line
    )


def is_author(line: Candidate, lines: Sequence[Candidate], authors: Collection[str]) -> bool:
    """Whether a line is the account of one of ``authors`` (in small letters), or the name that stands over
    it.
    """
    accounts = [other for other in lines if _names(other, authors)]
    return _names(line, authors) or any(_stands_over(line, other) for other in accounts)


def authors_of(accepted: Sequence[Candidate], lines: Sequence[Candidate]) -> dict[Box, str]:
    """The accounts of posts, by the boxes of the lines that the posts begin with."""
    found: dict[Box, str] = {}
    for line in lines:
        account = _ACCOUNT.search(as_latin(line.text))
        if account is None or line in accepted or _REPLY.search(line.text):
            continue
        below = [
            other
            for other in accepted
            if other.box[1] > line.box[3] - line.height / 2 and other.box[0] < line.box[2]
        ]
        first = min(below, key=lambda other: other.box[1], default=None)
        if first is not None and first.box[1] - line.box[3] < 4 * line.height:
            found.setdefault(first.box, account[1])
    return found


def _names(line: Candidate, authors: Collection[str]) -> bool:
    text = as_latin(line.text).lower()
    return any(f"@{author}" in text for author in authors)


def _stands_over(line: Candidate, account: Candidate) -> bool:
    height = account.height
    above = -0.5 * height < account.box[1] - line.box[3] < 1.2 * height
    return above and abs(line.box[0] - account.box[0]) < 1.5 * height
