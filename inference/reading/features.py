"""What a decoder is told of each line read: where it stands, how it looks, what kind of writing it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.reading.geometry import Box
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.russian.lexicon import script

MAX_LINES = 40  # more are cut: no description quotes more
LINE_FEATURES = 33
LAYOUT_FEATURES = 16
_MOST_FRAMES = 6

Small = npt.NDArray[np.float32]


def line_features(reading: Reading, image: Image.Image) -> npt.NDArray[np.float32]:
    """(lines, LINE_FEATURES), about -1..2 each, for the first :data:`MAX_LINES` lines read on an upright RGB
    picture.
    """
    lines = reading.lines[:MAX_LINES]
    if not lines:
        return np.zeros((0, LINE_FEATURES), dtype=np.float32)
    small = image.resize((160, 160), Image.Resampling.BILINEAR)
    grey = np.asarray(small.convert("L"), dtype=np.float32) / 255.0
    saturation = np.asarray(small.convert("HSV"), dtype=np.float32)[..., 1] / 255.0
    tallest = max(line.box[3] - line.box[1] for line in lines)
    rows = [
        [
            *_of_box(line.box, tallest),
            *_of_text(line),
            *_of_company(lines, number),
            *_of_looks(line.box, grey, saturation),
            _aspect(image),
            0.0 if line.place.frame is None else 1.0,
            0.0 if line.place.frame is None else (line.place.frame + 1) / 4,
        ]
        for number, line in enumerate(lines)
    ]
    return np.array(rows, dtype=np.float32)


def _of_box(box: Box, tallest: float) -> list[float]:
    left, top, right, bottom = box
    height = bottom - top
    middles = [(left + right) / 2, (top + bottom) / 2]
    return [*box, *middles, right - left, height * 8, height / max(tallest, 1e-6)]


def _of_text(line: TextLine) -> list[float]:
    text, words = line.text, line.text.split()
    letters = [character for character in text if character.isalpha()]
    kinds = [script(word) for word in words]
    return [
        float(np.log1p(len(words))) / 2,
        float(np.log1p(len(letters))) / 3,
        line.confidence,
        sum(letter.isupper() for letter in letters) / max(len(letters), 1),
        kinds.count("latin") / max(len(kinds), 1),
        sum(character.isdigit() for character in text) / len(text),
        float(text.endswith(":")),
        float(text.endswith(tuple(".!?…"))),
        float("@" in text),
        float(text.startswith(tuple("-—–•*"))),
    ]


def _of_company(lines: Sequence[TextLine], number: int) -> list[float]:
    """Of the line with that number: its block, and where it stands in its block and among all."""
    line = lines[number]
    before = lines[number - 1] if number else None
    last = number + 1 == len(lines) or lines[number + 1].block != line.block
    return [
        line.block / 8,
        float(before is None or before.block != line.block),
        float(last),
        sum(other.block == line.block for other in lines) / 8,
        number / 16,
        len(lines) / 16,
        (max(other.block for other in lines) + 1) / 8,
        0.0 if before is None else float(np.clip(line.box[1] - before.box[3], -0.5, 1.0)) * 2,
    ]


def _of_looks(box: Box, grey: Small, saturation: Small) -> list[float]:
    """How light and how colourful it is where a line stands; ``grey``, ``saturation``: (160, 160), 0..1."""
    left, top, right, bottom = (int(edge * 159) for edge in box)
    area = (slice(top, bottom + 1), slice(left, right + 1))
    return [float(grey[area].mean()), float(grey[area].std()) * 2, float(saturation[area].mean())]


def _aspect(image: Image.Image) -> float:
    return float(np.clip(np.log(image.width / image.height), -1.5, 1.5))


def layout_features(reading: Reading, image: Image.Image) -> npt.NDArray[np.float32]:
    """(LAYOUT_FEATURES,), about 0..2 each, of what was read on an upright RGB picture: how many frames, how
    much text, what kind of writing.
    """
    boxes, lines = reading.frames, reading.lines
    small = (
        np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR).convert("HSV"), dtype=np.float32) / 255.0
    )
    count = min(len(boxes), _MOST_FRAMES)
    words = [word for line in lines for word in line.text.split()]
    kinds = [script(word) for word in words]
    framed = sum((box[2] - box[0]) * (box[3] - box[1]) for box in boxes)
    written = sum((line.box[2] - line.box[0]) * (line.box[3] - line.box[1]) for line in lines)
    return np.array(
        [
            *(float(count == number) for number in range(_MOST_FRAMES + 1)),
            framed,
            written,
            np.log1p(len(words)) / 3,
            kinds.count("latin") / max(len(kinds), 1),
            len(reading.blocks) / 8,
            float(small[..., 1].mean()),
            float(small[..., 2].mean()),
            _aspect(image),
            float(any("@" in line.text for line in lines)),
        ],
        dtype=np.float32,
    )
