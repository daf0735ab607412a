"""What a decoder is told of each line read: where it stands, how it looks, what kind of writing it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.reading.reading import Reading
from inference.russian.lexicon import script

MAX_LINES = 40  # more are cut: no description quotes more
LINE_FEATURES = 33
LAYOUT_FEATURES = 16
_MOST_FRAMES = 6


def line_features(reading: Reading, image: Image.Image) -> npt.NDArray[np.float32]:
    """(lines, LINE_FEATURES), about -1..2 each, for the first :data:`MAX_LINES` lines read on an upright RGB
    picture.
    """
    lines = reading.lines[:MAX_LINES]
    if not lines:
        return np.zeros((0, LINE_FEATURES), dtype=np.float32)
    small = image.resize((160, 160), Image.Resampling.BILINEAR)
    grey = np.asarray(small.convert("L"), dtype=np.float32) / 255.0
    colour = np.asarray(small.convert("HSV"), dtype=np.float32)[..., 1] / 255.0
    tallest = max(line.box[3] - line.box[1] for line in lines)
    blocks = max(line.block for line in lines) + 1
    per_block = np.bincount([line.block for line in lines], minlength=blocks)
    rows = []
    for number, line in enumerate(lines):
        left, top, right, bottom = line.box
        words = line.text.split()
        letters = [character for character in line.text if character.isalpha()]
        kinds = [script(word) for word in words]
        before = lines[number - 1] if number else None
        first = before is None or before.block != line.block
        last = number + 1 == len(lines) or lines[number + 1].block != line.block
        area = (slice(int(top * 159), int(bottom * 159) + 1), slice(int(left * 159), int(right * 159) + 1))
        end = line.text[-1:]
        inside = line.place.frame
        rows.append(
            [
                left,
                top,
                right,
                bottom,
                (left + right) / 2,
                (top + bottom) / 2,
                right - left,
                (bottom - top) * 8,
                (bottom - top) / max(tallest, 1e-6),
                np.log1p(len(words)) / 2,
                np.log1p(len(letters)) / 3,
                line.confidence,
                sum(letter.isupper() for letter in letters) / max(len(letters), 1),
                kinds.count("latin") / max(len(kinds), 1),
                sum(character.isdigit() for character in line.text) / len(line.text),
                float(end == ":"),
                float(end in ".!?…"),
                float("@" in line.text),
                float(line.text[:1] in "-—–•*"),
                line.block / 8,
                float(first),
                float(last),
                per_block[line.block] / 8,
                number / 16,
                len(lines) / 16,
                blocks / 8,
                0.0 if before is None else float(np.clip(top - before.box[3], -0.5, 1.0)) * 2,
                float(grey[area].mean()),
                float(grey[area].std()) * 2,
                float(colour[area].mean()),
                float(np.clip(np.log(image.width / image.height), -1.5, 1.5)),
                0.0 if inside is None else 1.0,
                0.0 if inside is None else (inside + 1) / 4,
            ]
        )
    return np.array(rows, dtype=np.float32)


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
            float(np.clip(np.log(image.width / image.height), -1.5, 1.5)),
            float(any("@" in line.text for line in lines)),
        ],
        dtype=np.float32,
    )
