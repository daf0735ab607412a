"""Russian sentences about a picture from what was found on it: rules, no model.

Places are fractions (0..1) of the upright picture, boxes are (left, top, right, bottom).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inference.reading.geometry import Box, shared_area
from inference.reading.inscriptions import inscriptions
from inference.reading.reading import Reading
from inference.russian.counting import counted, ordinal
from inference.russian.lists import LISTS
from inference.russian.sentences import Sentence, joined, told


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing seen on the picture: its name in :data:`COCO`, its place, and how sure that is (0..1)."""

    label: str
    box: Box
    score: float


COCO = LISTS.coco
"""The classes of COCO 2017 as torchvision calls them."""

_MOST_KINDS = 6  # of things that one sentence names: a longer list is not listened to
_NARROW = 0.45  # of the picture's side: a wider thing is not "on the left"
_SIDE = 0.38  # of the picture's side: the middle of what stands at the left or top lies before it
_OVERLAP = 0.25  # of the narrower: things that share more of their breadth do not stand in a row


def compose(things: Sequence[Thing], reading: Reading) -> str:
    """A caption: what is on the picture, frame by frame where there are several, and the words read there."""
    things = [thing for thing in things if thing.label in COCO]
    if len(reading.frames) > 1:
        sentences = _comic(things, reading.frames)
    else:
        sentences = [_on_picture(things)] if things else []
    seen = told(sentences or [Sentence(body=(LISTS.objects.none,))])
    return " ".join(filter(None, (seen, inscriptions(reading))))


def _comic(things: Sequence[Thing], frames: Sequence[Box]) -> list[Sentence]:
    inside: list[list[Thing]] = [[] for _ in frames]
    for thing in things:
        best = max(range(len(frames)), key=lambda i: shared_area(thing.box, frames[i]))
        if shared_area(thing.box, frames[best]) > 0:
            inside[best].append(thing)
    return [_on_frame(number, own) for number, own in enumerate(inside, 1) if own]


def _on_picture(things: Sequence[Thing]) -> Sentence:
    """ "На картинке слева направо: человек, собака и машина." """
    kinds, way = _kinds(things)
    way = way if len(kinds) > 1 else _side(things)
    return Sentence(lead=(LISTS.places.drawing, way), body=(_counted(kinds),))


def _on_frame(number: int, things: Sequence[Thing]) -> Sentence:
    """ "Первый кадр, слева направо: кошка и собака." "Первый кадр слева" would say where the frame is."""
    kinds, way = _kinds(things)
    lead = (ordinal(number, "nomn"), LISTS.places.one_frame)
    return Sentence(lead=(*lead, ",", way) if way else lead, body=(_counted(kinds),))


def _kinds(things: Sequence[Thing]) -> tuple[list[list[Thing]], str]:
    """The things by their kinds, and the direction in which those stand in a row; "" where they do not."""
    groups: dict[str, list[Thing]] = {}
    # The large come first: they are what the picture is of.
    for thing in sorted(things, key=lambda one: _area(one.box), reverse=True):
        groups.setdefault(thing.label, []).append(thing)
    kinds = list(groups.values())[:_MOST_KINDS]
    if len(kinds) > 1 and all(len(own) == 1 for own in kinds):
        for axis, way in enumerate((LISTS.places.rightwards, LISTS.places.downwards)):
            if _in_a_row([own[0].box for own in kinds], axis):
                return sorted(kinds, key=lambda own: own[0].box[axis]), way
    return kinds, ""


def _counted(kinds: Sequence[Sequence[Thing]]) -> str:
    return joined(counted(COCO[own[0].label], len(own)) for own in kinds)


def _side(things: Sequence[Thing]) -> str:
    """Of the picture, where the only thing stands at one; else ""."""
    left, _, right, _ = things[0].box
    if len(things) > 1 or right - left > _NARROW:
        return ""
    middle = (left + right) / 2
    return LISTS.places.left if middle < _SIDE else LISTS.places.right if middle > 1 - _SIDE else ""


def _in_a_row(boxes: Sequence[Box], axis: int) -> bool:
    spans = sorted((box[axis], box[axis + 2]) for box in boxes)
    return all(
        end - start <= _OVERLAP * min(end - low, high - start)
        for (low, end), (start, high) in pairwise(spans)
    )


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
