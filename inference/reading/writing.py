"""Lines as people write them: one alphabet a word, even capitals, numbers in digits."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.reading.accounts import authors_of
from inference.reading.candidates import Candidate
from inference.reading.lines import ReadLine
from inference.russian.lexicon import digits, one_alphabet, script

_LETTERS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# Marks without the space behind them. Between small letters a full stop may belong to an address.
_GLUED = re.compile(r"(?<=[а-яёА-ЯЁ])[,;!?](?=[а-яёА-ЯЁ])|(?<=[а-яё]{2})\.(?=[А-ЯЁ][а-яё])")


def written(
    lines: Sequence[Candidate], scores: Sequence[float], shown: Sequence[int], quoted: Sequence[int]
) -> list[ReadLine]:
    """The lines with the numbers ``shown`` as people write them: one alphabet a word, even capitals, numbers
    in digits. The picture's alphabet, its capitals and the authors of its posts are those of the lines
    ``quoted``.
    """
    message = [lines[place] for place in quoted]
    authors = authors_of(message, lines)
    kinds = [script(word.text) for line in message for word in line.words]
    prefer_cyrillic = kinds.count("cyrillic") >= kinds.count("latin")
    capitals = _share_of_capitals([line.text for line in message])
    return [
        ReadLine(
            " ".join(
                _even(token, capitals) for token in _spell(line, prefer_cyrillic=prefer_cyrillic).split(" ")
            ),
            line.box,
            line.height,
            scores[place],
            line.slope,
            authors.get(line.box, ""),
            inverted=line.words[0].turn == 2,
        )
        for place, line in ((place, lines[place]) for place in shown)
    ]


def _share_of_capitals(texts: Sequence[str]) -> float:
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    return sum(letter.isupper() for letter in letters) / max(len(letters), 1)


def _even(token: str, capitals: float) -> str:
    """Cyrillic capitals look like their small letters: "кОт" and "кОТ" are "КОТ" where most of a picture is
    capitals, and "YouR" is "YOUR". Elsewhere Latin keeps them: "iPhone".
    """
    return _LETTERS.sub(lambda word: _evened(word[0], capitals), token)


def _evened(word: str, capitals: float) -> str:
    kind = script(word)
    if kind == "mixed" or word in {word.lower(), word.upper(), word.capitalize()}:
        return word
    if kind == "latin":
        return word.upper() if capitals >= 0.7 else word
    return word.upper() if capitals >= 0.5 else word.lower()


def _spell(line: Candidate, *, prefer_cyrillic: bool) -> str:
    own = [script(word.text) for word in line.words]
    if own.count("cyrillic") != own.count("latin"):
        prefer_cyrillic = own.count("cyrillic") > own.count("latin")
    spelt = " ".join(digits(one_alphabet(word.text, prefer_cyrillic=prefer_cyrillic)) for word in line.words)
    return _GLUED.sub(r"\g<0> ", spelt)
