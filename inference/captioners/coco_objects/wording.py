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
from inference.russian.sentences import joined


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
_NOTHING = "Знакомых предметов на картинке не видно."


def compose(things: Sequence[Thing], reading: Reading) -> str:
    """A caption: what is on the picture, frame by frame where there are several, and the words read there."""
    things = [thing for thing in things if thing.label in COCO]
    if len(reading.frames) > 1:
        seen = _comic(things, reading.frames)
    else:
        seen = f"На картинке{_what(things)}." if things else _NOTHING
    return " ".join(filter(None, (seen, inscriptions(reading))))


def _comic(things: Sequence[Thing], frames: Sequence[Box]) -> str:
    inside: list[list[Thing]] = [[] for _ in frames]
    for thing in things:
        best = max(range(len(frames)), key=lambda i: shared_area(thing.box, frames[i]))
        if shared_area(thing.box, frames[best]) > 0:
            inside[best].append(thing)
    sentences = [
        f"{ordinal(number, 'nomn').capitalize()} кадр{_what(own, frame=True)}."
        for number, own in enumerate(inside, 1)
        if own
    ]
    return " ".join(sentences or [_NOTHING])


def _what(things: Sequence[Thing], *, frame: bool = False) -> str:
    """What stands behind «На картинке» or «Первый кадр»: « слева направо: человек, собака и машина»."""
    groups: dict[str, list[Thing]] = {}
    # The large come first: they are what the picture is of.
    for thing in sorted(things, key=lambda one: _area(one.box), reverse=True):
        groups.setdefault(thing.label, []).append(thing)
    kinds = list(groups.items())[:_MOST_KINDS]
    way = ""
    if all(len(own) == 1 for _, own in kinds):
        boxes = [own[0].box for _, own in kinds]
        if len(kinds) == 1:
            # "Первый кадр слева" would say where the frame is.
            way = "" if frame else _side(boxes[0])
        else:
            for axis, words in ((0, "слева направо"), (1, "сверху вниз")):
                if _in_a_row(boxes, axis):
                    kinds.sort(key=lambda kind: kind[1][0].box[axis])
                    way = f", {words}" if frame else f" {words}"
                    break
    return f"{way}: {joined([counted(COCO[label], len(own)) for label, own in kinds])}"


def _side(box: Box) -> str:
    if box[2] - box[0] > _NARROW:
        return ""
    middle = (box[0] + box[2]) / 2
    return " слева" if middle < _SIDE else " справа" if middle > 1 - _SIDE else ""


def _in_a_row(boxes: Sequence[Box], axis: int) -> bool:
    spans = sorted((box[axis], box[axis + 2]) for box in boxes)
    return all(
        end - start <= _OVERLAP * min(end - low, high - start)
        for (low, end), (start, high) in pairwise(spans)
    )


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
