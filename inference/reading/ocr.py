"""Optical character recognition of Cyrillic and Latin print: a picture to words with their places.

A detector finds the lines, a recogniser reads each. The weights (``ocr.safetensors``, half precision) started
from PP-OCRv6 small of PaddleOCR (Apache-2.0); the recogniser has learnt Russian by
``python -m train_scripts recognizer``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from inference.common.errors import UserError
from inference.reading.networks import LINE_HEIGHT, STRIDE, LineRecognizer, TextDetector, decode
from inference.reading.orientation import is_better, is_doubtful, is_upside_down, leans, worth
from inference.reading.regions import Region, cut_out, find_regions
from inference.reading.spelling import respell
from inference.reading.words import Word

WEIGHTS_FILE = Path(__file__).with_name("ocr.safetensors")

_LONG_SIDE = 800  # pixels to which the picture's longer side is brought for the detector
_SHORT_SIDE = 400  # but its shorter side keeps these: strips of several screens
_ENLARGE = 2.0  # at most
_MOST_PIXELS = 3_000_000  # that the detector looks at: bounds its memory and time
_LEAST_SIDE = 8  # pixels: nothing legible fits into less
_MOST_LINES = 150  # of one picture: a page of a book takes seconds, not minutes
_ROW = 0.8  # of the larger height that two words of a row have in common
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


def load_networks(path: Path) -> tuple[TextDetector, LineRecognizer, list[str]]:
    """The detector, the recogniser and its characters (``characters[i]`` is class ``i + 1``) of a file.

    Raises:
        OcrUnavailableError: the file is missing or damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            characters: list[str] = json.loads(file.metadata()["characters"])
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        detector, recognizer = TextDetector(), LineRecognizer(len(characters) + 1)
        for prefix, network in (("detector.", detector), ("recognizer.", recognizer)):
            network.load_state_dict(
                {
                    name.removeprefix(prefix): value
                    for name, value in weights.items()
                    if name.startswith(prefix)
                }
            )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise OcrUnavailableError(
            f"The reader's weights {path.name} are missing or damaged: install the program anew."
        ) from error
    return detector, recognizer, characters


class Ocr:
    """The two networks, ready to read; not for several threads at once.

    Raises:
        OcrUnavailableError: on construction, when the weights cannot be read.
    """

    def __init__(self, path: Path = WEIGHTS_FILE) -> None:
        self._detector, self._recognizer, self._characters = load_networks(path)
        for network in (self._detector, self._recognizer):
            network.eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def read(self, image: Image.Image) -> list[Word]:
        """The words on one upright RGB picture; those of a line from left to right."""
        if min(image.size) < _LEAST_SIDE:
            return []
        return self.recognize(image, self.detect(image))

    @torch.no_grad()
    def detect(self, image: Image.Image) -> list[Region]:
        """The lines on one upright RGB picture of at least 8 x 8 pixels, unordered."""
        scale = min(_ENLARGE, max(_LONG_SIDE / max(image.size), _SHORT_SIDE / min(image.size)))
        scale = min(scale, (_MOST_PIXELS / (image.width * image.height)) ** 0.5)
        width, height = (max(32, round(side * scale / 32) * 32) for side in image.size)
        pixels = _pixels(image.resize((width, height), Image.Resampling.BILINEAR))
        with _quick():
            found = self._detector(_normalised(pixels[None]))
        return find_regions(found[0].float().numpy(), image.size)

    @torch.no_grad()
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
            pixels = torch.full((len(batch), 3, LINE_HEIGHT, width), _GREY, dtype=torch.uint8)
            for row, number in enumerate(batch):
                pixels[row, :, :, : lines[number].width] = _pixels(lines[number])
            with _quick():
                logits = self._recognizer(_normalised(pixels))
            for row, number in enumerate(batch):
                probabilities = logits[row].float().softmax(dim=-1)
                text, sure, places = respell(
                    *decode(probabilities, self._characters), probabilities, self._characters
                )
                stretch = width / lines[number].width
                readings[number] = _Reading(text, sure, [min(1.0, place * stretch) for place in places])
        return readings


def _pixels(image: Image.Image) -> Tensor:
    """(3, height, width), uint8, blue first, as the networks learnt it."""
    return torch.from_numpy(np.asarray(image)[..., ::-1].copy()).permute(2, 0, 1)


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """Half the time on processors that multiply bfloat16; no letter is read otherwise for it."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not in old versions
    able = bool(capabilities.get("avx512_bf16"))
    with torch.autocast("cpu", torch.bfloat16, enabled=able):
        yield


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
