"""One line that says what kind of picture it is, from its frames and the places of its words: rules, no
guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.reading.geometry import Box
from inference.reading.lines import TextLine
from inference.reading.places import Region
from inference.reading.reading import Reading
from inference.russian.lexicon import script

_AVATAR = 0.15  # of the picture's area: what a post shows is larger than its writer's portrait
_FRAMES = {2: "двух", 3: "трёх", 4: "четырёх", 5: "пяти", 6: "шести", 7: "семи", 8: "восьми", 9: "девяти"}


_PLACES = {
    Region.ABOVE: "сверху",
    Region.TOP: "сверху",
    Region.MIDDLE: "посередине",
    Region.FRAME: "на кадрах",
    Region.BETWEEN: "на кадрах",
    Region.BOTTOM: "снизу",
    Region.BELOW: "снизу",
}


def summarise(reading: Reading, *, looked: bool = True) -> str:
    """A Russian sentence about a picture and what was read on it.

    ``looked`` False: nobody looked for words, so their absence is not claimed.
    """
    # It claims no absence of words where some are listed.
    frames, lines = reading.frames, reading.lines or reading.listed
    if not lines:
        kind = _kind(frames, text=False)
        return f"{kind}{' без надписей' if looked else ''}."
    if any(line.author for line in lines) and len(frames) < 2:
        shown = any((right - left) * (bottom - top) > _AVATAR for left, top, right, bottom in frames)
        written = f"Скриншот поста в соцсети{' с картинкой' if shown else ''}"
        return f"{written}, текст латиницей." if _mostly_latin(lines) else f"{written}."
    written = f"{_kind(frames, text=True)}{_places(lines) if frames else ''}"
    if _mostly_latin(lines):
        written += ", надписи латиницей" if frames else ", латиницей"
    return f"{written}."


def _kind(boxes: Sequence[Box], *, text: bool) -> str:
    if len(boxes) > 1:
        return f"Мем из {_FRAMES.get(len(boxes), str(len(boxes)))} кадров"
    if boxes or not text:
        return "Картинка"
    return "Текст на однотонном фоне"


def _places(lines: Sequence[TextLine]) -> str:
    places = {_PLACES[line.place.region] for line in lines}
    ordered = [place for place in ("сверху", "посередине", "на кадрах", "снизу") if place in places]
    noun = "надписью" if len({line.block for line in lines}) == 1 else "надписями"
    joined = " и ".join((", ".join(ordered[:-1]), ordered[-1])) if len(ordered) > 1 else ordered[0]
    return f" с {noun} {joined}"


def _mostly_latin(lines: Sequence[TextLine]) -> bool:
    kinds = [script(word) for line in lines for word in line.text.split()]
    return kinds.count("latin") > max(2, 2 * kinds.count("cyrillic"))
