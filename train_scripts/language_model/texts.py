"""Descriptions of memes with the words read on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.common.errors import UserError
from inference.common.file_names import picture_of
from inference.tokenizers.words_read import text_read
from train_scripts.data.dataset import DataRow
from train_scripts.language_model.train import Text
from train_scripts.meme_small.readings import read_kept, reading_of
from train_scripts.pictures import with_pictures

__all__ = ["meme_texts"]


def meme_texts(rows: Sequence[DataRow], folder: Path, readings: Path) -> list[Text]:
    """Each description with what was read on its picture.

    Raises UserError when a picture was never read or what was kept is damaged, and UnreadablePicturesError.
    """
    known = {picture_of(folder, name): kept for name, kept in read_kept(readings).items()}
    unread = next((row for row in rows if row.picture not in known), None)
    if unread is not None:
        raise UserError(
            f"{unread.file_name} was never read: read the pictures with 'python -m train_scripts read' and "
            "name the file with --readings."
        )
    pictures = (row.picture for row in rows)
    read = with_pictures(pictures, lambda path, image: reading_of(known[path], image), desc="readings")
    return [Text(row.text, text_read(read[row.picture].lines)) for row in rows]
