"""Descriptions of memes with the lines read on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.common.errors import UserError
from inference.common.file_names import picture_of
from inference.common.interpreter import PYTHON
from inference.tokenizers.words_read import SLOTS, slotted
from train_scripts.data.dataset import DataRow
from train_scripts.language_model.train import Text
from train_scripts.meme_small.readings import read_kept, reading_of
from train_scripts.pictures import with_pictures
from train_scripts.training.data import held_out as held_out_of

__all__ = ["meme_texts"]


def meme_texts(
    rows: Sequence[DataRow], folder: Path, readings: Path, *, held_out: int = 0
) -> list[tuple[Text, Text]]:
    """Each description with slots for the lines read on its picture, and as if nothing was read; without
    those of so many pictures as a captioner's recipe holds out.

    Raises UserError when a picture was never read or what was kept is damaged, and UnreadablePicturesError.
    """
    held = held_out_of((row.file_name for row in rows), held_out)
    rows = [row for row in rows if row.file_name not in held]
    if not rows:
        raise UserError(f"All memes of {folder} are held out: lower --held-out.")
    known = {picture_of(folder, name): kept for name, kept in read_kept(readings).items()}
    unread = next((row for row in rows if row.picture not in known), None)
    if unread is not None:
        raise UserError(
            f"{unread.file_name} was never read: read the pictures with '{PYTHON} -m train_scripts read' and "
            "name the file with --readings."
        )
    pictures = (row.picture for row in rows)
    read = with_pictures(pictures, lambda path, image: reading_of(known[path], image), desc="readings")
    found = [read[row.picture] for row in rows]
    told = slotted([row.text for row in rows], found, SLOTS)
    return [
        (Text(text, min(len(own.lines), SLOTS)), Text(row.text))
        for row, text, own in zip(rows, told, found, strict=True)
    ]
