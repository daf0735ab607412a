"""The reading step that every captioner shares: a picture to its lines in reading order.

One look at a picture, two selections: what a description may quote, and everything that stands there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from inference.reading.frames import frames
from inference.reading.layout import arrange, by_frames, in_rows
from inference.reading.listing import listed
from inference.reading.merge import select
from inference.reading.ocr import Ocr, OcrUnavailableError
from inference.reading.words import Word
from inference.types import TextLine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read on a picture, each time in reading order."""

    lines: tuple[TextLine, ...] = ()  # that a description may quote: the picture's message
    words: tuple[TextLine, ...] = ()  # all that stands there; what was read surely and is no furniture


class Reader:
    """Reads with the networks that ship. Where their weights are missing or damaged every picture has no
    lines, and the log says why once.
    """

    def __init__(self) -> None:
        self._ocr: Ocr | None = None
        try:
            self._ocr = Ocr()
        except OcrUnavailableError as error:
            logger.warning("Pictures are described without their words. %s", error)

    @property
    def available(self) -> bool:
        return self._ocr is not None

    def read(self, image: Image.Image) -> Reading:
        """What stands on one upright RGB picture."""
        if self._ocr is None:
            return Reading()
        words = self._ocr.read(image)
        return Reading(tuple(in_reading_order(words, image)), tuple(all_in_reading_order(words, image)))


def in_reading_order(words: Sequence[Word], image: Image.Image) -> list[TextLine]:
    """The lines that are print among the ``words`` found on an upright RGB picture, frame by frame."""
    lines = arrange(select(words, image.size), image.size)
    return by_frames(lines, frames(image, lines))


def all_in_reading_order(words: Sequence[Word], image: Image.Image) -> list[TextLine]:
    """The lines that stand on an upright RGB picture, quotable or not, frame by frame, tables row by row."""
    found = listed(words, image.size)
    boxes = frames(image, arrange(found, image.size))
    return by_frames(arrange(in_rows(found, boxes, image.size), image.size), boxes)
