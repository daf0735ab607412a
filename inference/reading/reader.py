"""The reading step that every captioner shares: a picture to its lines in reading order.

One look at a picture, two selections: what a description may quote, and everything that stands there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from inference.common.types import TextLine
from inference.reading.frames import frames
from inference.reading.layout import arrange, by_frames, in_rows
from inference.reading.listing import listed
from inference.reading.merge import select
from inference.reading.ocr import Ocr, OcrUnavailableError
from inference.reading.orientation import is_upside_down, legible, turned_round
from inference.reading.words import Word

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read on a picture, each time in reading order.

    ``upside_down``: the picture is; the lines' places are those on the picture turned by 180 degrees.
    ``unread``: the share (0..1) of what is written that could not be read, 0 unless that is most of it.
    """

    lines: tuple[TextLine, ...] = ()  # that a description may quote: the picture's message
    words: tuple[TextLine, ...] = ()  # all that stands there; what was read surely and is no furniture
    upside_down: bool = False
    unread: float = 0.0


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
        words, unread = legible(self._ocr.read(image))
        upside_down = is_upside_down(words)
        if upside_down:
            words, image = _turned(words, image)
        return Reading(
            tuple(_message(words, image)),
            tuple(_everything(words, image)),
            upside_down=upside_down,
            unread=unread,
        )


def in_reading_order(words: Sequence[Word], image: Image.Image) -> list[TextLine]:
    """The lines that are print among the ``words`` found on an RGB picture, frame by frame; their places are
    those on the picture the right way up. What :meth:`Reader.read` gives as ``lines``, for kept words.
    """
    words, _ = legible(words)
    return _message(*(_turned(words, image) if is_upside_down(words) else (words, image)))


def _message(words: Sequence[Word], image: Image.Image) -> list[TextLine]:
    """The quotable lines of an upright picture, frame by frame."""
    lines = arrange(select(words, image.size), image.size)
    return by_frames(lines, frames(image, lines))


def _everything(words: Sequence[Word], image: Image.Image) -> list[TextLine]:
    """The lines that stand on an upright picture, quotable or not, frame by frame, tables row by row."""
    found = listed(words, image.size)
    boxes = frames(image, arrange(found, image.size))
    return by_frames(arrange(in_rows(found, boxes, image.size), image.size), boxes)


def _turned(words: Sequence[Word], image: Image.Image) -> tuple[list[Word], Image.Image]:
    """The words and their picture, turned by 180 degrees."""
    return turned_round(words), image.transpose(Image.Transpose.ROTATE_180)
