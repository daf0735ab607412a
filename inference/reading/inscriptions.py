"""The words read, quoted with their places: rules, no model."""

from __future__ import annotations

from inference.reading.places import Place, Region
from inference.reading.reading import Reading

_PREPOSITIONAL = (
    "первом", "втором", "третьем", "четвёртом", "пятом", "шестом", "седьмом", "восьмом", "девятом",
)  # fmt: skip


_PLACES = {
    Region.ABOVE: " сверху",
    Region.TOP: " сверху",
    Region.MIDDLE: " посередине",
    Region.BOTTOM: " снизу",
    Region.BELOW: " снизу",
    Region.BETWEEN: " между кадрами",
    Region.PAGE: "",
}


def inscriptions(reading: Reading) -> str:
    """The words read and their places: Надпись сверху: «…». Надписи снизу: «…», «…». Empty without any."""
    where = [(_place(block.place), block.text) for block in reading.blocks if block.text]
    sentences = []
    for place in dict.fromkeys(place for place, _ in where):
        texts = [f"«{text}»" for other, text in where if other == place]
        sentences.append(f"{'Надписи' if len(texts) > 1 else 'Надпись'}{place}: {', '.join(texts)}.")
    return " ".join(sentences)


def _place(place: Place) -> str:
    """Сверху, посередине, снизу or на втором кадре, with a space before it; empty on a page of text."""
    if place.region is not Region.FRAME or place.frame is None:
        return _PLACES[place.region]
    if place.frame < len(_PREPOSITIONAL):
        return f" на {_PREPOSITIONAL[place.frame]} кадре"
    return f" на {place.frame + 1}-м кадре"
