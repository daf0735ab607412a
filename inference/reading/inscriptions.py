"""The words read, quoted with their places: rules, no model.

Places are fractions (0..1) of the upright picture, boxes are (left, top, right, bottom).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.common.types import TextLine
from inference.reading.merge import Box, shared_area

_PREPOSITIONAL = (
    "первом", "втором", "третьем", "четвёртом", "пятом", "шестом", "седьмом", "восьмом", "девятом",
)  # fmt: skip


def clean_quote(line: str) -> str:
    """A line read, fit to stand between quotation marks: marks of its own become single, specks at its
    ends go.
    """
    line = re.sub(r'["“”„«»]', "'", line)
    line = re.sub(r"(?<!\.)\.\.(?!\.)", "...", line)  # two dots are three of which one was not seen
    line = re.sub(r"^[\s'‘’`|_\\/~=<>*^°\]}]+|[\s'‘’`|_\\/~=<>^°\[{]+$", "", line)
    return re.sub(r"\s+", " ", line)


def inscriptions(lines: Sequence[TextLine], frames: Sequence[Box]) -> str:
    """The words read and their places: Надпись сверху: «…». Надписи снизу: «…», «…». Empty without any."""
    blocks = _blocks(lines)
    where = [(_place(box, frames), text) for text, box in blocks]
    sentences = []
    for place in dict.fromkeys(place for place, _ in where):
        texts = [f"«{text}»" for other, text in where if other == place]
        sentences.append(f"{'Надписи' if len(texts) > 1 else 'Надпись'}{place}: {', '.join(texts)}.")
    return " ".join(sentences)


def _blocks(lines: Sequence[TextLine]) -> list[tuple[str, Box]]:
    """(text, box) of each block, in reading order; those without a letter to quote are left out."""
    boxes: dict[int, Box] = {}
    texts: dict[int, list[str]] = {}
    for line in lines:
        if text := clean_quote(line.text):
            old = boxes.get(line.block, line.box)
            boxes[line.block] = (
                min(old[0], line.box[0]),
                min(old[1], line.box[1]),
                max(old[2], line.box[2]),
                max(old[3], line.box[3]),
            )
            texts.setdefault(line.block, []).append(text)
    return [(" ".join(texts[block]), boxes[block]) for block in texts]


def _place(box: Box, frames: Sequence[Box]) -> str:
    """Сверху, посередине, снизу or на втором кадре, with a space before it; empty on a page of text."""
    if not frames:
        return ""
    top, bottom = min(frame[1] for frame in frames), max(frame[3] for frame in frames)
    middle = (box[1] + box[3]) / 2
    if middle < top:
        return " сверху"
    if middle > bottom:
        return " снизу"
    if len(frames) > 1:
        best = max(range(len(frames)), key=lambda i: shared_area(box, frames[i]))
        if shared_area(box, frames[best]) <= 0:
            return " между кадрами"
        return (
            f" на {_PREPOSITIONAL[best]} кадре" if best < len(_PREPOSITIONAL) else f" на {best + 1}-м кадре"
        )
    share = (middle - top) / (bottom - top)
    return " сверху" if share < 0.25 else " снизу" if share > 0.75 else " посередине"
