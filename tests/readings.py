"""Readings made by hand: the tests know exactly what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from inference.reading.frames import find_frames
from inference.reading.geometry import Box
from inference.reading.lines import TextLine
from inference.reading.places import where
from inference.reading.reading import Reading


def reading_of(lines: Sequence[TextLine] = (), frames: Sequence[Box] = ()) -> Reading:
    """Of a picture with these frames, on which these lines stand in this order."""
    placed = tuple(replace(line, place=where(line.box, frames)) for line in lines)
    return Reading((600, 400), tuple(frames), placed, placed)


def reading_on(image: Image.Image, lines: Sequence[TextLine] = ()) -> Reading:
    """The same of a drawn picture, whose frames are found."""
    return replace(reading_of(lines, find_frames(image, lines)), size=image.size)
