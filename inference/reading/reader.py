"""The reading step that every captioner shares: a picture to its lines in reading order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from PIL import Image

from inference.reading.frames import frames
from inference.reading.layout import arrange, by_frames
from inference.reading.merge import select
from inference.reading.ocr import Ocr, OcrUnavailableError
from inference.reading.words import Word
from inference.types import TextLine

logger = logging.getLogger(__name__)


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

    def read(self, image: Image.Image) -> list[TextLine]:
        """The lines on one upright RGB picture, in reading order."""
        if self._ocr is None:
            return []
        return in_reading_order(self._ocr.read(image), image)


def in_reading_order(words: Sequence[Word], image: Image.Image) -> list[TextLine]:
    """The lines that are print among the ``words`` found on an upright RGB picture, frame by frame."""
    lines = arrange(select(words, image.size), image.size)
    return by_frames(lines, frames(image, lines))
