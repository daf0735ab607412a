"""Where words stand, said by rules: "Подпись снизу", "На втором кадре подпись"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.common.types import TextLine
from inference.reading.merge import Box, shared_area

ABOVE, BELOW = "above", "below"
TOP, BOTTOM = "top", "bottom"
_EDGE = 0.25  # of a picture's height: words nearer to its upper or lower edge stand there
_WITHIN = 0.2  # share of a line: words across a frame's edge belong to it, words between frames to none
_PLAIN = "Подпись:"
_POST = re.compile(r'^(?:(?:Твит|Пост)\b[^:"]*|Текст на (?:твит\w+|вк)|Текст сверху|Надпись сверху|Подпись):')
_SHOWN = re.compile(
    r"^На (?:фото\w*|картинке|изображении|скриншоте) (?:изображ[её]н[аоы]? )?(?:бел\w+ )?подпись:"
)
_LEADS = {ABOVE: "Надпись сверху:", TOP: "Надпись сверху:", BELOW: "Подпись снизу:", BOTTOM: "Подпись снизу:"}
_ORDINALS = ("первом", "втором", "третьем", "четвёртом", "пятом", "шестом", "седьмом", "восьмом", "девятом")


def where(line: TextLine, boxes: Sequence[Box]) -> str | int | None:
    """:data:`ABOVE` or :data:`BELOW` all frames, the number of the frame (from 0) where there are several,
    :data:`TOP` or :data:`BOTTOM` of the only one, or None. ``boxes``: of the frames, as fractions of the
    picture.
    """
    y = (line.box[1] + line.box[3]) / 2
    if not boxes:
        return None
    if y < min(box[1] for box in boxes):
        return ABOVE
    if y > max(box[3] for box in boxes):
        return BELOW
    if len(boxes) == 1:
        share = (y - boxes[0][1]) / (boxes[0][3] - boxes[0][1])
        return TOP if share < _EDGE else BOTTOM if share > 1 - _EDGE else None
    shared = [_share(line.box, box) for box in boxes]
    most = max(range(len(boxes)), key=shared.__getitem__)
    return most if shared[most] >= _WITHIN else None


def _share(line: Box, box: Box) -> float:
    """Of a line's area, how much lies within a box."""
    area = (line[2] - line[0]) * (line[3] - line[1])
    return shared_area(line, box) / area if area else 0.0


def signed(text: str, author: str) -> str:
    """A sentence with somebody's post says whose it is."""
    return _POST.sub(f"Твит пользователя {author}:", text) if author else text


def frame_name(number: int) -> str:
    """ "На втором кадре" of frame 1; they count from 0."""
    return f"На {_ORDINALS[number] if number < len(_ORDINALS) else f'{number + 1}-м'} кадре"


def led(text: str, place: str | int | None) -> str:
    """A sentence that begins with a plain "Подпись:" says where the words stand; others stay as they are."""
    text = _SHOWN.sub(_PLAIN, text, count=1)  # a caption is no thing that a picture shows
    if not text.startswith(_PLAIN) or place is None:
        return text
    lead = f"{frame_name(place)} подпись:" if isinstance(place, int) else _LEADS[place]
    return lead + text.removeprefix(_PLAIN)


def unled(text: str, frame: int) -> str:
    """The sentence without "На втором кадре" at its beginning, where that frame was just spoken of."""
    name = f"{frame_name(frame)} "
    rest = text.removeprefix(name)
    return text if rest == text else rest[0].upper() + rest[1:]
