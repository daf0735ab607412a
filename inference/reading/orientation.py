"""Which way up a line is read, and whether it could be read at all.

Upside down, letters still look like letters, so the recogniser says something ("Пришёл домой" is "yowou
uэmиdu"): less surely, and no words. The other way round it is sure, and there are words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from inference.reading.words import Word
from inference.russian.lexicon import bare, is_known, one_alphabet

_WORD = 0.3  # what words of the dictionary are worth, beside a mean confidence of 0..1
_DOUBTED = 0.85  # mean confidence below which a reading is doubted
_DOUBTED_NAME = 0.98  # the same of one that makes no words
_SURE, _SURE_OF_WORDS = 0.85, 0.7  # the least of a reading that replaces another: in general, and of words
_SURE_SHORT = 0.95  # the same of two signs
_BETTER, _BETTER_SHORT = 0.15, 0.35  # how much more it must be worth: that of three signs, and of two
_MOST = 0.7  # share of what is written that tells: that it stands upside down, that it was not read
_LEAST_SIGNS = 8  # of a single line that tells how the picture stands
_UNREAD = 0.87  # mean confidence below which what makes no word was not read: it is no name either
_UNREAD_SENTENCE = 0.93  # the same of several words: they are not all names
_UNREAD_AMONG = 0.95  # the same where most of the other lines were not read
_PRINT = 0.35  # the same of print at all: textures are read less surely
_LEGIBLE = 0.5  # share of signs in words of what is read
_NONSENSE = 0.34  # the same of what is none
_LETTERS = 3  # different ones: circles and strokes repeat themselves
# English words of two letters; the dictionary has many more that nobody writes.
_SHORT = frozenset(
    ("am", "an", "as", "at", "be", "by", "do", "go", "he", "hi", "if", "in", "is", "it", "me", "my", "no")
) | {"of", "oh", "ok", "on", "or", "so", "to", "up", "us", "we"}
_NUMBER = re.compile(r"[\d.,:;/+\-–—()%№#$€₽°=*×]+")


def signs(text: str) -> int:
    """How many letters and digits a text has."""
    return sum(map(str.isalnum, text))


def in_words(text: str) -> float:
    """The share (0..1) of a text's letters and digits that stand in words of the dictionary, or numbers."""
    tokens = [bare(token) for token in text.split()]
    # A letter by itself may be anything; it counts where there is nothing else.
    tokens = [token for token in tokens if signs(token) > 1 or token.isdigit()] or tokens
    total = sum(map(signs, tokens))
    return sum(signs(token) for token in tokens if _is_word(token)) / total if total else 0.0


def _is_word(token: str) -> bool:
    if any(map(str.isdigit, token)):
        return bool(_NUMBER.fullmatch(token))
    if len(token) <= 2 and token.isascii():
        return token.lower() in _SHORT
    return is_known(token) or is_known(one_alphabet(token, prefer_cyrillic=True))


def _mean(text: str, sure: Sequence[float]) -> float:
    own = [one for character, one in zip(text, sure, strict=True) if character != " "]
    return sum(own) / len(own) if own else 0.0


def worth(text: str, sure: Sequence[float]) -> float:
    """How much a reading is to be believed; ``sure`` holds the probability of each of its characters."""
    return _mean(text, sure) + _WORD * in_words(text)


def is_doubtful(text: str, sure: Sequence[float]) -> bool:
    """Whether it is worth the time to read a line the other way round too."""
    least = _DOUBTED if in_words(text) >= _LEGIBLE else _DOUBTED_NAME
    return signs(text) > 1 and _mean(text, sure) < least


def leans(text: str, sure: Sequence[float], other: str, other_sure: Sequence[float]) -> float:
    """How much better a reading is than the ``other``; 0 where that says nothing. "SOS" and "69" are read
    either way.
    """
    more = worth(text, sure) - worth(other, other_sure)
    return more if more >= _BETTER and signs(text) > 1 else 0.0


def is_better(text: str, sure: Sequence[float], other: str, other_sure: Sequence[float]) -> bool:
    """Whether a reading is so much better than the ``other`` that the line stands that way up."""
    mean, more = _mean(text, sure), leans(text, sure, other, other_sure)
    if signs(text) <= 2:
        return mean >= _SURE_SHORT and more >= _BETTER_SHORT
    return more > 0 and mean >= (_SURE_OF_WORDS if in_words(text) >= _LEGIBLE else _SURE)


def is_upside_down(words: Sequence[Word]) -> bool:
    """Whether most of what is written on a picture stands upside down, so that the picture does."""
    level = [word for word in words if word.turn % 2 == 0 and signs(word.text)]
    turned = [word for word in level if word.turn]
    total, count = sum(signs(word.text) for word in level), sum(signs(word.text) for word in turned)
    lines = len({word.line for word in turned})
    return count > 0 and count >= _MOST * total and (lines > 1 or count >= _LEAST_SIGNS)


def turned_round(words: Sequence[Word]) -> list[Word]:
    """The words on the same picture turned by 180 degrees."""
    return [
        replace(
            word,
            box=(1 - word.box[2], 1 - word.box[3], 1 - word.box[0], 1 - word.box[1]),
            turn=(word.turn + 2) % 4,
        )
        for word in words
    ]


def legible(words: Sequence[Word]) -> tuple[list[Word], float]:
    """The words of the lines that were read, where most of what is written was not, else all; and the share
    (0..1; large letters count for more) of what was not: mirrored print, other scripts, ornate letters.
    """
    lines: dict[int, list[Word]] = {}
    for word in words:
        lines.setdefault(word.line, []).append(word)
    unread = {number for number, own in lines.items() if _is_unread(own)}
    clear = {number for number, own in lines.items() if _is_read(own)} - unread
    lost, read = (sum(_weight(lines[number]) for number in some) for some in (unread, clear))
    if not unread or lost < _MOST * (lost + read):
        return list(words), 0.0
    clear = {number for number in clear if _is_read(lines[number], _UNREAD_AMONG)}
    return [word for word in words if word.line in clear], lost / (lost + read)


def _weight(line: Sequence[Word]) -> float:
    return sum(signs(word.text) * (word.box[3] - word.box[1]) for word in line)


def _told(line: Sequence[Word]) -> tuple[str, float]:
    """A line's text and mean confidence."""
    letters = sum(len(word.text) for word in line)
    sure = sum(word.confidence * len(word.text) for word in line) / letters
    return " ".join(word.text for word in line), sure


def _is_read(line: Sequence[Word], least: float = _UNREAD) -> bool:
    text, sure = _told(line)
    return sure >= least or (sure >= _LEGIBLE and in_words(text) >= _LEGIBLE)


def _is_unread(line: Sequence[Word]) -> bool:
    """Whether a line is print that was not read: letters, and no words."""
    text, sure = _told(line)
    if len({character.lower() for character in text if character.isalpha()}) < _LETTERS:
        return False
    words = sum(signs(word.text) > 1 for word in line)
    least = _UNREAD_SENTENCE if words > 2 else _UNREAD
    return in_words(text) < _NONSENSE and _PRINT <= sure < least
