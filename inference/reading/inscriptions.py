"""The words read, quoted with their places: rules, no model."""

from __future__ import annotations

from inference.reading.reading import Reading
from inference.russian.lists import LISTS
from inference.russian.places import standing
from inference.russian.sentences import Sentence, told


def inscriptions(reading: Reading) -> str:
    """The words read and their places: Надпись сверху: «…». Надписи снизу: «…», «…». Empty without any."""
    quoted: dict[str, list[str]] = {}
    for block in reading.blocks:
        if block.text:
            quoted.setdefault(standing(block.place), []).append(f"«{block.text}»")
    names = LISTS.inscriptions
    return told(
        Sentence(lead=(names.several if len(texts) > 1 else names.one, place), body=(", ".join(texts),))
        for place, texts in quoted.items()
    )
