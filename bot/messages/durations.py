"""How long something takes, as people say it."""

from __future__ import annotations

from math import ceil

from bot.texts import Texts, sentences


def duration(seconds: float, words: Texts) -> str:
    """Minutes, from an hour on hours; rounded up, so that what is to be over by then is."""
    minutes = max(1, ceil(seconds / 60))
    if minutes < 60:
        return words.plural(sentences.MINUTES, minutes)
    return words.plural(sentences.HOURS, ceil(minutes / 60))
