"""Pictures with what was read on them, from the disk when they are needed: hundreds do not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from inference.common.file_names import picture_of
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from train_scripts.meme_small.readings import Kept, reading_of
from train_scripts.pictures import open_picture

_TOGETHER = 8  # pictures captioned at once


@dataclass(frozen=True, slots=True)
class Picture:
    """``name``: as the file_name of its rows."""

    name: str
    path: Path
    reading: Reading

    @property
    def image(self) -> Image.Image:
        """Upright RGB, the right way up."""
        return self.reading.upright(open_picture(self.path))


def read_pictures(
    folder: Path, names: Iterable[str], readings: Mapping[str, Kept], reader: Reader, what: str
) -> list[Picture]:
    """``readings``: what `train_scripts read` wrote, by file name; other pictures are read now.

    Raises UnreadablePicturesError when a picture cannot be opened.
    """
    pictures = []
    for name in tqdm(list(names), desc=f"reading {what}", mininterval=5):
        path = picture_of(folder, name)
        image = open_picture(path)
        known = readings.get(name)
        reading = reader.read(image) if known is None else reading_of(known, image)
        pictures.append(Picture(name, path, reading))
    return pictures


def batches(pictures: Sequence[Picture], size: int = _TOGETHER) -> Iterator[Sequence[Picture]]:
    """In order."""
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]
