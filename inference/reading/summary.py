"""One line that says what kind of picture it is, from its frames and the places of its words: rules, no
guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from inference.common.types import TextLine
from inference.reading.frames import frames
from inference.reading.merge import Box
from inference.russian.lexicon import script

_AVATAR = 0.15  # of the picture's area: what a post shows is larger than its writer's portrait
_FRAMES = {2: "двух", 3: "трёх", 4: "четырёх", 5: "пяти", 6: "шести", 7: "семи", 8: "восьми", 9: "девяти"}


def summarise(image: Image.Image, lines: Sequence[TextLine], *, reading: bool = True) -> str:
    """A Russian sentence about an upright RGB picture and the lines read on it.

    ``reading`` False: nobody looked for words, so their absence is not claimed.
    """
    boxes = frames(image, lines)
    if not lines:
        kind = _kind(boxes, text=False)
        return f"{kind}{' без надписей' if reading else ''}."
    if any(line.author for line in lines) and len(boxes) < 2:
        shown = any((right - left) * (bottom - top) > _AVATAR for left, top, right, bottom in boxes)
        written = f"Скриншот поста в соцсети{' с картинкой' if shown else ''}"
        return f"{written}, текст латиницей." if _mostly_latin(lines) else f"{written}."
    written = f"{_kind(boxes, text=True)}{_places(lines, boxes)}"
    if _mostly_latin(lines):
        written += ", надписи латиницей" if boxes else ", латиницей"
    return f"{written}."


def _kind(boxes: Sequence[Box], *, text: bool) -> str:
    if len(boxes) > 1:
        return f"Мем из {_FRAMES.get(len(boxes), str(len(boxes)))} кадров"
    if boxes or not text:
        return "Картинка"
    return "Текст на однотонном фоне"


def _places(lines: Sequence[TextLine], boxes: Sequence[Box]) -> str:
    if not boxes:
        return ""
    top, bottom = min(box[1] for box in boxes), max(box[3] for box in boxes)
    places = set()
    for line in lines:
        middle = (line.box[1] + line.box[3]) / 2
        if middle < top:
            places.add("сверху")
        elif middle > bottom:
            places.add("снизу")
        elif len(boxes) > 1:
            places.add("на кадрах")
        elif middle < top + 0.25 * (bottom - top):
            places.add("сверху")
        elif middle > top + 0.75 * (bottom - top):
            places.add("снизу")
        else:
            places.add("посередине")
    ordered = [place for place in ("сверху", "посередине", "на кадрах", "снизу") if place in places]
    noun = "надписью" if len({line.block for line in lines}) == 1 else "надписями"
    joined = " и ".join((", ".join(ordered[:-1]), ordered[-1])) if len(ordered) > 1 else ordered[0]
    return f" с {noun} {joined}"


def _mostly_latin(lines: Sequence[TextLine]) -> bool:
    kinds = [script(word) for line in lines for word in line.text.split()]
    return kinds.count("latin") > max(2, 2 * kinds.count("cyrillic"))
