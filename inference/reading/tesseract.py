"""Tesseract in process (``tesserocr``): one picture, several passes, words with their places.

One pass of Tesseract misses a third of the words on a meme: page segmentation takes a caption bar for a
picture,
small print is under its size, white letters on a photo are not a dark shape on a light ground. Each pass
below finds
words that the others miss; ``inference.reading.merge`` keeps the best of what they agree and disagree on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LANGUAGES = "rus+eng"
MAX_PIXELS = 12_000_000  # of an enlarged picture: bounds the memory and the time of one pass


class ReadingUnavailableError(RuntimeError):
    """Tesseract or its Russian data is missing; the message says which command installs it."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word as one pass of Tesseract saw it.

    ``box`` is (left, top, right, bottom) as fractions of the picture, 0..1; ``confidence`` is 0..1;
    ``line`` numbers
    the text line within the pass.
    """

    text: str
    box: tuple[float, float, float, float]
    confidence: float
    line: int


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def _bright_letters(image: Image.Image) -> Image.Image:
    """Only what is nearly white stays, as black on white: outlined white letters on a photo become plain
    print.
    """
    darkest = np.asarray(image).min(axis=2)
    return Image.fromarray(np.where(darkest > 195, 0, 255).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Pass:
    """How Tesseract looks at the picture once.

    ``segmentation`` is Tesseract's page segmentation mode (3 automatic, 11 sparse text), ``short_side``
    the size in
    pixels to which the picture's shorter side is brought (enlarging at most four times).
    """

    name: str
    segmentation: int
    short_side: int
    prepare: Callable[[Image.Image], Image.Image] = _grey


PASSES = (
    Pass("page", 3, 700),
    Pass("sparse", 11, 700),
    Pass("sparse-large", 11, 1300),
    Pass("bright", 11, 1000, _bright_letters),
)


def find_tessdata() -> Path:
    """The folder with ``rus.traineddata``.

    Raises:
        ReadingUnavailableError: there is none; the message names the command that installs it.
    """
    candidates = [Path(value) for name in ("TESSDATA_PREFIX",) if (value := os.environ.get(name))]
    candidates += [path / "tessdata" for path in candidates]
    candidates += sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata"), reverse=True)
    candidates += [
        Path("/usr/share/tessdata"),
        Path("/usr/local/share/tessdata"),
        Path("/opt/homebrew/share/tessdata"),
    ]
    for folder in candidates:
        if (folder / "rus.traineddata").is_file() and (folder / "eng.traineddata").is_file():
            return folder
    raise ReadingUnavailableError(
        "Tesseract's Russian data is missing: install it with "
        "'sudo apt-get install tesseract-ocr tesseract-ocr-rus', or set TESSDATA_PREFIX to its folder."
    )


class Tesseract:
    """Keeps one Tesseract engine per page segmentation mode; not thread-safe.

    Raises:
        ReadingUnavailableError: on construction, when the library or the language data is missing.
    """

    def __init__(self, passes: Sequence[Pass] = PASSES) -> None:
        try:
            import tesserocr  # noqa: PLC0415 - optional: without it the bot goes on without reading
        except ImportError as error:
            raise ReadingUnavailableError(
                "The package tesserocr is missing: install it with 'pip install tesserocr'."
            ) from error
        tessdata = find_tessdata()
        self._tesserocr = tesserocr
        self.passes = tuple(passes)
        try:
            self._engine: Any = tesserocr.PyTessBaseAPI(
                path=str(tessdata),
                lang=LANGUAGES,
                psm=tesserocr.PSM.AUTO,
                variables={"debug_file": os.devnull},
            )
        except RuntimeError as error:
            raise ReadingUnavailableError(
                f"Tesseract cannot load its data in {tessdata}: install it anew with "
                "'sudo apt-get install --reinstall tesseract-ocr-rus tesseract-ocr-eng'."
            ) from error

    @property
    def version(self) -> str:
        return str(self._tesserocr.tesseract_version()).split("\n", 1)[0].strip()

    def read(self, image: Image.Image) -> dict[str, list[Word]]:
        """Every pass over one upright RGB picture: pass name -> the words it saw, in Tesseract's order."""
        return {one.name: list(self._run(image, one)) for one in self.passes}

    def _run(self, image: Image.Image, one: Pass) -> Iterator[Word]:
        scale = min(4.0, one.short_side / min(image.size), (MAX_PIXELS / (image.width * image.height)) ** 0.5)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if min(size) < 12:  # nothing legible fits, and leptonica refuses slivers
            return
        prepared = one.prepare(image.resize(size, Image.Resampling.BICUBIC))
        self._engine.SetPageSegMode(one.segmentation)
        self._engine.SetImage(prepared)
        self._engine.SetSourceResolution(150)
        self._engine.Recognize()
        yield from self._words(size)
        self._engine.Clear()

    def _words(self, size: tuple[int, int]) -> Iterator[Word]:
        level = self._tesserocr.RIL
        found = self._engine.GetIterator()
        if found is None:
            return
        line = -1
        for item in self._tesserocr.iterate_level(found, level.WORD):
            if item.IsAtBeginningOf(level.TEXTLINE):
                line += 1
            if item.Empty(level.WORD):
                continue
            text = item.GetUTF8Text(level.WORD).strip()
            box = item.BoundingBox(level.WORD)
            if not text or box is None:
                continue
            left, top, right, bottom = box
            yield Word(
                text,
                (left / size[0], top / size[1], right / size[0], bottom / size[1]),
                item.Confidence(level.WORD) / 100.0,
                line,
            )
