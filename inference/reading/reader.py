"""The reading step that every captioner shares: a picture to its lines in reading order.

One look at a picture, two selections: what a description may quote, and everything that stands there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from PIL import Image

from inference.common.stages import stage
from inference.reading.frames import find_frames
from inference.reading.layout import arrange, by_frames, in_rows
from inference.reading.listing import select
from inference.reading.ocr import Ocr, OcrUnavailableError
from inference.reading.orientation import is_upside_down, legible, turned_round
from inference.reading.reading import Reading
from inference.reading.scorer import scored
from inference.reading.words import Word

logger = logging.getLogger(__name__)


class Reader:
    """Reads with the networks that ship. Where their weights are missing or damaged every picture has no
    lines, and the log says why once. ``threads``: of the processor; None: all that it may use.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self._ocr: Ocr | None = None
        try:
            self._ocr = Ocr(threads=threads)
        except OcrUnavailableError as error:
            logger.warning("Pictures are described without their words. %s", error)

    @property
    def available(self) -> bool:
        return self._ocr is not None

    def read(self, image: Image.Image) -> Reading:
        """What stands on one RGB picture, which may be upside down."""
        words = () if self._ocr is None else self._ocr.read(image)
        with stage("read.arrange"):
            return self.from_words(words, image)

    @staticmethod
    def from_words(words: Sequence[Word], image: Image.Image) -> Reading:
        """The same of words that were recognised on the picture before and kept."""
        words, unread = legible(words)
        upside_down = is_upside_down(words)
        if upside_down:
            words, image = turned_round(words), image.transpose(Image.Transpose.ROTATE_180)
        selected = select(scored(words, image.size))
        message = arrange(selected.message, image.size)
        frames = find_frames(image, message)
        rows = in_rows(selected.listed, frames, image.size)
        # On most memes nothing stands but the message: it is put in order once.
        listed = message if set(rows) == set(selected.message) else arrange(rows, image.size)
        lines = by_frames(message, frames)
        return Reading(
            image.size,
            frames,
            lines,
            lines if listed is message else by_frames(listed, frames),
            tuple(words),
            upside_down=upside_down,
            unread=unread,
        )
