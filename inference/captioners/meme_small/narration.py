"""One caption from what the decoder wrote and what the detectors saw, told in the order in which one reads a
picture: the words above it, what it shows, frame by frame with the words on each, the words below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.common.places import Place, Region
from inference.reading.geometry import Box
from inference.russian.leads import led, unplaced
from inference.russian.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Written:
    """A sentence of the decoder. ``place``: where its quotation stands; None where it has none, or that is
    not said.
    """

    sentence: Sentence
    quotes: bool
    place: Place | None = None
    bare: bool = False  # it only says that there is a picture
    seen: bool = False  # it names something that the picture shows, not its layout alone
    box: Box | None = None  # of its quotation

    @property
    def frame(self) -> int | None:
        """The number of the frame that the quotation stands on, where there are several."""
        return self.place.frame if self.place is not None and self.place.region is Region.FRAME else None


def begins_below(written: Sequence[Written]) -> bool:
    """Whether words stand above what the picture shows."""
    return any(_stands(one, Region.ABOVE) for one in written)


def narrate(
    written: Sequence[Written], things: Sequence[Sentence], scenes: Mapping[int, Sequence[Sentence]]
) -> list[Sentence]:
    """``things``: what all of the picture shows; ``scenes``: what frames show, by their numbers."""
    due = dict(sorted(scenes.items()))
    shows = bool(things or due)
    split = _before_pictures(written)
    told: list[Sentence] = []
    frame: int | None = None  # that was spoken of last
    for number, one in enumerate(written):
        if number == split:
            told += things
        if number >= split:
            for scene in [scene for scene in due if _is_before(scene, one.place)]:
                told += due.pop(scene)
                frame = scene
        # "Фото." says nothing beside "На фото кот."
        if not (shows and one.bare):
            told.append(_placed(one, frame, written[number - 1] if number else None))
        frame = one.frame
    if split == len(written):
        told += things
    return [*told, *(sentence for scene in due.values() for sentence in scene)]


def _placed(one: Written, frame: int | None, before: Written | None) -> Sentence:
    """The sentence with the place of its quotation where that is new. ``frame``: spoken of last."""
    if one.frame is not None and one.frame == frame:
        return unplaced(one.sentence, one.frame)
    return led(one.sentence, one.place) if before is None or one.place != before.place else one.sentence


def _before_pictures(written: Sequence[Written]) -> int:
    """How many sentences come before what the picture shows: up to the last quotation that stands above it,
    else up to the first one.
    """
    above = [number for number, one in enumerate(written, 1) if _stands(one, Region.ABOVE)]
    if above:
        return above[-1]
    return next((number for number, one in enumerate(written) if one.quotes), len(written))


def _is_before(frame: int, place: Place | None) -> bool:
    """Whether a frame is told before words at a place."""
    return place is not None and place.region in {Region.FRAME, Region.BELOW} and frame <= place.turn


def _stands(one: Written, region: Region) -> bool:
    return one.place is not None and one.place.region is region
