"""One line that says what kind of picture it is, from its frames and the places of its words: rules, no
guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.russian.counting import genitive
from inference.russian.lexicon import script
from inference.russian.lists import LISTS
from inference.russian.places import standing_together
from inference.russian.sentences import write

_LISTS = LISTS.summary


def summarise(reading: Reading, *, looked: bool = True) -> str:
    """A Russian sentence about a picture and what was read on it.

    ``looked`` False: nobody looked for words, so their absence is not claimed.
    """
    frames, lines, kind = reading.frames, _lines(reading), kind_of(reading)
    if not lines:
        return write([kind, _LISTS.without_words if looked else ""])
    latin = _mostly_latin(lines)
    if _is_post(reading):
        return write([kind, ",", _LISTS.latin_post if latin else ""])
    if not frames:
        return write([kind, ",", _LISTS.latin_page if latin else ""])
    words = _LISTS.with_one if len({line.block for line in lines}) == 1 else _LISTS.with_several
    places = standing_together(line.place for line in lines)
    return write([kind, words, places, ",", _LISTS.latin_picture if latin else ""])


def kind_of(reading: Reading) -> str:
    """What kind of picture it is: "мем из двух кадров", "скриншот поста в соцсети с картинкой"."""
    frames = reading.frames
    if _is_post(reading):
        return f"{_LISTS.post} {_LISTS.with_picture}" if reading.illustrated else _LISTS.post
    if len(frames) > 1:
        return _LISTS.several.format(genitive(len(frames)))
    return _LISTS.picture if frames or not _lines(reading) else _LISTS.page


def _is_post(reading: Reading) -> bool:
    return len(reading.frames) < 2 and any(line.author for line in _lines(reading))


def _lines(reading: Reading) -> Sequence[TextLine]:
    # Where nothing can be quoted, what is listed is there all the same.
    return reading.lines or reading.listed


def _mostly_latin(lines: Sequence[TextLine]) -> bool:
    kinds = [script(word) for line in lines for word in line.text.split()]
    return kinds.count("latin") > max(2, 2 * kinds.count("cyrillic"))
