"""What `python -m train_scripts read` writes: the words of every picture, with their places, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from inference.common.errors import UserError
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from inference.reading.words import Word
from train_scripts.data.files import json_rows

__all__ = ["Kept", "kept_words", "read_kept", "reading_of", "words_from_row"]

Kept = Mapping[str, Any]  # file_name, size (width, height in pixels), words


def kept_words(file_name: str, image: Image.Image, words: Sequence[Word]) -> Kept:
    """The row of a picture. Its numbers are not rounded: lines made of them are those that are served."""
    return {
        "file_name": file_name,
        "size": image.size,
        "words": [(word.text, word.box, word.confidence, word.line, word.turn) for word in words],
    }


def reading_of(kept: Kept, image: Image.Image) -> Reading:
    """What stands on a picture that was read before, as :meth:`inference.reading.reader.Reader.read` gives it
    to a model that serves. Whatever is trained on pictures takes it from here.

    Only words are kept, for which lines are print changes with the line scorer, and the frames with those.
    """
    return Reader.from_words(words_from_row(kept), image)


def words_from_row(row: Kept) -> list[Word]:
    """The words of a row; one that was written before lines were turned has none that are."""
    return [
        Word(text, tuple(box), confidence, line, *turn) for text, box, confidence, line, *turn in row["words"]
    ]


def read_kept(path: Path) -> dict[str, Kept]:
    """The rows by file name. Raises UserError where one is not what `read` writes."""
    found: dict[str, Kept] = {}
    for number, row in json_rows(path):
        try:
            whole = _is_whole(row)
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise UserError(
                f"{path}, line {number}, is not what 'train_scripts read' writes: read the pictures again."
            )
        found[row["file_name"]] = row
    return found


def _is_whole(row: Kept) -> bool:
    width, height = row["size"]
    return (
        isinstance(row["file_name"], str)
        and isinstance(width, int)
        and isinstance(height, int)
        and all(
            isinstance(word.text, str)
            and len(word.box) == 4
            and all(isinstance(number, int | float) for number in (*word.box, word.confidence, word.line))
            for word in words_from_row(row)
        )
    )
