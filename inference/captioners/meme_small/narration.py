"""One caption from what the decoder wrote and what the detectors saw, told in the order in which one reads a
picture: the words above it, what it shows, frame by frame with the words on each, the words below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.captioners.meme_small.places import ABOVE, BELOW, led, unled


@dataclass(frozen=True, slots=True)
class Sentence:
    """Of the decoder. ``place``: where its quotation stands (:func:`places.where`)."""

    text: str
    quotes: bool
    place: str | int | None = None
    bare: bool = False  # it only says that there is a picture


def begins_below(sentences: Sequence[Sentence]) -> bool:
    """Whether words stand above what the picture shows."""
    return any(sentence.place == ABOVE for sentence in sentences)


def narrate(sentences: Sequence[Sentence], things: str, scenes: Mapping[int, str]) -> str:
    """``things``: what all of the picture shows, or ""; ``scenes``: what frames show, by their numbers."""
    due = dict(sorted(scenes.items()))
    shows = bool(things or due)
    split = _before_pictures(sentences)
    told: list[str] = []
    frame: str | int | None = None  # the place that was spoken of last
    for number, sentence in enumerate(sentences):
        place = sentence.place
        if number == split:
            told.append(things)
        if number >= split:
            for scene in [one for one in due if _is_before(one, place)]:
                told.append(due.pop(scene))
                frame = scene
        if isinstance(place, int) and place == frame:
            text = unled(sentence.text, place)
        elif number == 0 or place != sentences[number - 1].place:
            text = led(sentence.text, place)
        else:
            text = sentence.text
        frame = place
        # "Фото." says nothing beside "На фото кот."
        told.append("" if shows and sentence.bare else text)
    if split == len(sentences):
        told.append(things)
    return " ".join(filter(None, (*told, *due.values())))


def _before_pictures(sentences: Sequence[Sentence]) -> int:
    """How many sentences come before what the picture shows: up to the last quotation that stands above it,
    else up to the first one.
    """
    above = [number for number, sentence in enumerate(sentences, 1) if sentence.place == ABOVE]
    if above:
        return above[-1]
    return next((n for n, sentence in enumerate(sentences) if sentence.quotes), len(sentences))


def _is_before(frame: int, place: str | int | None) -> bool:
    """Whether a frame is told before words at a place."""
    return place == BELOW or (isinstance(place, int) and frame <= place)
