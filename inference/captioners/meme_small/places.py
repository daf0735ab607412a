"""Where words stand, said by rules: "Подпись снизу", "На втором кадре подпись"."""

from __future__ import annotations

import re

from inference.reading.places import Place, Region

_PLAIN = "Подпись:"
_POST = re.compile(r'^(?:(?:Твит|Пост)\b[^:"]*|Текст на (?:твит\w+|вк)|Текст сверху|Надпись сверху|Подпись):')
_SHOWN = re.compile(
    r"^На (?:фото\w*|картинке|изображении|скриншоте) (?:изображ[её]н[аоы]? )?(?:бел\w+ )?подпись:"
)
_LEADS = {
    Region.ABOVE: "Надпись сверху:",
    Region.TOP: "Надпись сверху:",
    Region.BELOW: "Подпись снизу:",
    Region.BOTTOM: "Подпись снизу:",
}
_ORDINALS = ("первом", "втором", "третьем", "четвёртом", "пятом", "шестом", "седьмом", "восьмом", "девятом")


def signed(text: str, author: str) -> str:
    """A sentence with somebody's post says whose it is."""
    return _POST.sub(f"Твит пользователя {author}:", text) if author else text


def frame_name(number: int) -> str:
    """ "На втором кадре" of frame 1; they count from 0."""
    return f"На {_ORDINALS[number] if number < len(_ORDINALS) else f'{number + 1}-м'} кадре"


def led(text: str, place: Place | None) -> str:
    """A sentence that begins with a plain "Подпись:" says where the words stand; others stay as they are."""
    text = _SHOWN.sub(_PLAIN, text, count=1)  # a caption is no thing that a picture shows
    if not text.startswith(_PLAIN) or place is None:
        return text
    if place.region is Region.FRAME and place.frame is not None:
        lead = f"{frame_name(place.frame)} подпись:"
    else:
        lead = _LEADS.get(place.region, _PLAIN)
    return lead + text.removeprefix(_PLAIN)


def unled(text: str, frame: int) -> str:
    """The sentence without "На втором кадре" at its beginning, where that frame was just spoken of."""
    name = f"{frame_name(frame)} "
    rest = text.removeprefix(name)
    return text if rest == text else rest[0].upper() + rest[1:]
