"""One caption from what the decoder wrote and what the detectors saw, told in the order in which one reads a
picture: the words above it, what it shows, frame by frame with the words on each, the words below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.captioners.meme_small.places import led, unled
from inference.reading.places import Place, Region


@dataclass(frozen=True, slots=True)
class Sentence:
    """Of the decoder. ``place``: where its quotation stands; None where it has none, or that is not said."""

    text: str
    quotes: bool
    place: Place | None = None
    bare: bool = False  # it only says that there is a picture


def begins_below(sentences: Sequence[Sentence]) -> bool:
    """Whether words stand above what the picture shows."""
    return any(_stands(sentence, Region.ABOVE) for sentence in sentences)


def narrate(sentences: Sequence[Sentence], things: str, scenes: Mapping[int, str]) -> str:
    """``things``: what all of the picture shows, or ""; ``scenes``: what frames show, by their numbers."""
    due = dict(sorted(scenes.items()))
    shows = bool(things or due)
    split = _before_pictures(sentences)
    told: list[str] = []
    frame: int | None = None  # that was spoken of last
    for number, sentence in enumerate(sentences):
        place = sentence.place
        own = place.frame if place is not None and place.region is Region.FRAME else None
        if number == split:
            told.append(things)
        if number >= split:
            for scene in [one for one in due if _is_before(one, place)]:
                told.append(due.pop(scene))
                frame = scene
        if own is not None and own == frame:
            text = unled(sentence.text, own)
        elif number == 0 or place != sentences[number - 1].place:
            text = led(sentence.text, place)
        else:
            text = sentence.text
        frame = own
        # "Фото." says nothing beside "На фото кот."
        told.append("" if shows and sentence.bare else text)
    if split == len(sentences):
        told.append(things)
    return " ".join(filter(None, (*told, *due.values())))


def _before_pictures(sentences: Sequence[Sentence]) -> int:
    """How many sentences come before what the picture shows: up to the last quotation that stands above it,
    else up to the first one.
    """
    above = [number for number, sentence in enumerate(sentences, 1) if _stands(sentence, Region.ABOVE)]
    if above:
        return above[-1]
    return next((n for n, sentence in enumerate(sentences) if sentence.quotes), len(sentences))


def _is_before(frame: int, place: Place | None) -> bool:
    """Whether a frame is told before words at a place."""
    return place is not None and place.region in {Region.FRAME, Region.BELOW} and frame <= place.turn


def _stands(sentence: Sentence, region: Region) -> bool:
    return sentence.place is not None and sentence.place.region is region
