"""Optical character recognition of Cyrillic and Latin print: a picture to words with their places.

A detector finds the lines (DBNet, arXiv:1911.08947), a recogniser reads each (SVTR with CTC,
arXiv:2205.00159). The weights (``ocr.safetensors``, half precision) started from PP-OCRv6 small of PaddleOCR
(Apache-2.0); the recogniser has learnt Russian by ``python -m train_scripts recognizer``. The graphs beside
them are written by ``python -m train_scripts graphs``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
from PIL import Image

from inference.common.errors import UserError
from inference.common.interruptions import may_be_interrupted
from inference.common.stages import stage
from inference.decoding.distributions import softmax
from inference.graphs.session import Graph, GraphError
from inference.reading.ctc import Floats, decode
from inference.reading.orientation import is_better, is_doubtful, is_upside_down, leans, worth
from inference.reading.regions import LINE_HEIGHT, Region, cut_out, find_regions
from inference.reading.spelling import respell
from inference.reading.words import Word

WEIGHTS_FILE = Path(__file__).with_name("ocr.safetensors")
DETECTOR_GRAPH = Path(__file__).with_name("detector.onnx")
RECOGNIZER_GRAPH = Path(__file__).with_name("recognizer.onnx")

_LONG_SIDE = 800  # pixels to which the picture's longer side is brought for the detector
_SHORT_SIDE = 400  # but its shorter side keeps these: strips of several screens
_ENLARGE = 2.0  # at most
_MOST_PIXELS = 1_500_000  # that the detector looks at: bounds its memory (150 bytes each) and time
_LEAST_SIDE = 8  # pixels: nothing legible fits into less
_MOST_LINES = 150  # of one picture: a page of a book takes seconds, not minutes
_ROW = 0.8  # of the larger height that two words of a row have in common
STRIDE = 8  # pixels of a line's width for one step of the recogniser
_BATCH = 8
_GREY = 127  # fills up the shorter lines of a batch


@dataclass(frozen=True, slots=True)
class _Reading:
    """A line's text; for each character its probability and its place along the line, each 0..1."""

    text: str
    sure: Sequence[float]
    places: Sequence[float]

    @property
    def said(self) -> tuple[str, Sequence[float]]:
        return self.text, self.sure


_NOTHING = _Reading("", (), ())


class OcrUnavailableError(UserError, RuntimeError):
    """The weights are missing or damaged; the message says what to do."""


class Ocr:
    """The two networks, ready to read; not for several threads at once. ``threads``: see :class:`Graph`.

    Raises:
        OcrUnavailableError: on construction, when the weights cannot be read.
    """

    def __init__(self, path: Path = WEIGHTS_FILE, *, threads: int | None = None) -> None:
        try:
            with safetensors.safe_open(path, framework="np") as file:
                self._characters: list[str] = json.loads(file.metadata()["characters"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._detector = Graph(DETECTOR_GRAPH, _under("detector.", weights), threads=threads)
            own = _under("recognizer.", weights)
            self._head = own.pop("head.weight").T.astype(np.float32), own.pop("head.bias").astype(np.float32)
            self._recognizer = Graph(RECOGNIZER_GRAPH, own, threads=threads)
        except (OSError, KeyError, TypeError, ValueError, GraphError, safetensors.SafetensorError) as error:
            raise OcrUnavailableError(
                f"The reader's weights {path.name} are missing or damaged: install the program anew."
            ) from error

    def read(self, image: Image.Image) -> list[Word]:
        """The words on one upright RGB picture; those of a line from left to right."""
        if min(image.size) < _LEAST_SIDE:
            return []
        with stage("read.detect"):
            regions = self.detect(image)
        with stage("read.recognise"):
            return self.recognize(image, regions)

    def detect(self, image: Image.Image) -> list[Region]:
        """The lines on one upright RGB picture of at least 8 x 8 pixels, unordered."""
        scale = min(_ENLARGE, max(_LONG_SIDE / max(image.size), _SHORT_SIDE / min(image.size)))
        scale = min(scale, (_MOST_PIXELS / (image.width * image.height)) ** 0.5)
        width, height = (max(32, round(side * scale / 32) * 32) for side in image.size)
        pixels = _pixels(image.resize((width, height), Image.Resampling.BILINEAR))
        (found,) = self._detector(pixels=_normalised(pixels[None]))
        return find_regions(found[0], image.size)

    def recognize(self, image: Image.Image, regions: Sequence[Region]) -> list[Word]:
        """What stands in the regions, line by line in their order."""
        regions = regions[:_MOST_LINES]
        # A line that runs upwards or downwards is read both ways: what reads better is right.
        views = [
            (number, turn)
            for number, region in enumerate(regions)
            for turn in ((1, 3) if region.tall else (0,))
        ]
        seen = self._seen(image, regions, views)
        turns: dict[int, int] = {}
        for number, turn in views:
            best = turns.setdefault(number, turn)
            if worth(*seen[number, turn].said) > worth(*seen[number, best].said):
                turns[number] = turn
        # So is one whose reading is doubtful, upside down; and all of them where most stand upside down.
        level = [number for number, turn in turns.items() if turn == 0]
        doubtful = [number for number in level if is_doubtful(*seen[number, 0].said)]
        seen |= self._seen(image, regions, [(number, 2) for number in doubtful])
        better = [number for number in doubtful if is_better(*seen[number, 2].said, *seen[number, 0].said)]
        if better:
            leaning = [number for number in doubtful if leans(*seen[number, 2].said, *seen[number, 0].said)]
            if is_upside_down(self._all_words(image, regions, turns | dict.fromkeys(leaning, 2), seen)):
                others = [(number, 2) for number in level if (number, 2) not in seen]
                seen |= self._seen(image, regions, others)
                upright = {n for n in level if is_better(*seen[n, 0].said, *seen[n, 2].said)}
                better = [number for number in level if number not in upright]
        return self._all_words(image, regions, turns | dict.fromkeys(better, 2), seen)

    def _seen(
        self, image: Image.Image, regions: Sequence[Region], views: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], _Reading]:
        """What the regions with these numbers say, turned by so many quarters; by number and turn."""
        lines = [cut_out(image, regions[number].turned(turn)) for number, turn in views]
        return dict(zip(views, self._readings(lines), strict=True))

    @staticmethod
    def _all_words(
        image: Image.Image,
        regions: Sequence[Region],
        turns: Mapping[int, int],
        seen: Mapping[tuple[int, int], _Reading],
    ) -> list[Word]:
        """The words of each region as it is turned."""
        words = [
            word
            for number, region in enumerate(regions)
            for word in _words(seen[number, turns[number]], region, image.size, number, turns[number])
        ]
        return [word for word in words if not any(_is_part(word, other) for other in words)]

    def _readings(self, lines: Sequence[Image.Image]) -> list[_Reading]:
        """What upright pictures of lines say."""
        readings = [_NOTHING] * len(lines)
        for batch in _batches([line.width for line in lines]):
            width = -(-max(lines[number].width for number in batch) // STRIDE) * STRIDE
            pixels = np.full((len(batch), 3, LINE_HEIGHT, width), _GREY, dtype=np.uint8)
            for row, number in enumerate(batch):
                pixels[row, :, :, : lines[number].width] = _pixels(lines[number])
            (steps,) = self._recognizer(pixels=_normalised(pixels))
            weight, bias = self._head
            probabilities = softmax(steps @ weight + bias)
            for row, number in enumerate(batch):
                own = probabilities[row]
                text, sure, places = respell(*decode(own, self._characters), own, self._characters)
                stretch = width / lines[number].width
                readings[number] = _Reading(text, sure, [min(1.0, place * stretch) for place in places])
            may_be_interrupted()  # a page of print takes seconds
        return readings


def _under(prefix: str, weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The weights whose names begin so, without that."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """(3, height, width), blue first, as the networks learnt it."""
    return np.asarray(image)[..., ::-1].transpose(2, 0, 1)


def _normalised(pixels: npt.NDArray[np.uint8]) -> Floats:
    values: Floats = np.ascontiguousarray(pixels, dtype=np.float32)
    values /= np.float32(127.5)  # in its place: copies would be of the size of the largest values there are
    values -= np.float32(1)
    return values


def _batches(widths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of lines of about the same width: padding would cost time and change what is seen."""
    batch: list[int] = []
    for number in sorted(range(len(widths)), key=lambda item: widths[item]):
        if batch and (len(batch) == _BATCH or widths[number] > 1.15 * widths[batch[0]] + 2 * STRIDE):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _is_part(word: Word, other: Word) -> bool:
    """Whether one letter is the end of a word of another line in the same row: the border of two regions ran
    through it, and both saw it.
    """
    if word.line == other.line or len(word.text) > 1 or len(other.text) < 2 or word.turn or other.turn:
        return False
    left, top, right, bottom = word.box
    row = min(bottom, other.box[3]) - max(top, other.box[1])
    if row < _ROW * max(bottom - top, other.box[3] - other.box[1]):
        return False
    begins = other.text.startswith(word.text) and left < other.box[0] < right
    return begins or (other.text.endswith(word.text) and left < other.box[2] < right)


def _words(reading: _Reading, region: Region, size: tuple[int, int], line: int, turn: int) -> list[Word]:
    """The words read in a region that is turned by so many quarters."""
    region = region.turned(turn)
    places = reading.places
    pitch = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 0.5
    words = []
    start = 0
    for token in reading.text.split(" "):
        end = start + len(token)
        if token:
            left = max(0.0, places[start] - pitch / 2)
            right = min(1.0, max(places[end - 1] + pitch / 2, left + pitch / 2))
            box = region.span(left, right)
            fractions = [min(max(box[i] / size[i % 2], 0.0), 1.0) for i in range(4)]
            words.append(
                Word(
                    token,
                    (fractions[0], fractions[1], fractions[2], fractions[3]),
                    sum(reading.sure[start:end]) / len(token),
                    line,
                    turn,
                )
            )
        start = end + 1
    return words
