"""The pictures of an export: copied once each, and converted where others could not open them."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

from bot.feedback import private
from bot.feedback.files import extension
from bot.feedback.pictures import Pictures
from inference.common.types import PictureError
from inference.pictures.opening import load_picture, opens_in_pillow, read_header

logger = logging.getLogger(__name__)

IMAGES = "images"  # the folder of them

# Formats that Pillow always knew, under suffixes that `datasets` takes for pictures.
_EVERYWHERE = frozenset({"jpg", "png", "gif", "webp", "bmp", "tiff", "jp2", "j2k"})
_WITHOUT_LOSS = frozenset({"png", "gif", "bmp", "tiff"})  # converted, they stay so


class Copies:
    """Pictures brought into an export. Blocking: for a thread."""

    def __init__(self, pictures: Pictures, folder: Path) -> None:
        self._pictures = pictures
        self._folder = folder
        self._number = 0
        # Of the few that got another name than they had, by their path: that, and what they were converted
        # from. Of the others, of which there may be any number, the folder itself says that they are there.
        self._renamed: dict[str, tuple[str, str | None]] = {}

    def __len__(self) -> int:
        return self._number

    def copy(self, path: str | None) -> tuple[str | None, str | None]:
        """The file_name of a kept picture, brought here once, and the format it was converted from, if any.

        No name: there is no picture (any more).
        """
        if path is None:
            return None, None
        if path in self._renamed:
            return self._renamed[path]
        same = f"{IMAGES}/{Path(path).name}"
        if (self._folder / same).exists():
            return same, None
        try:
            data = self._pictures.file(path).read_bytes()
            content, suffix, converted_from = _exported(data)
        except FileNotFoundError:
            return None, None
        except PictureError as error:
            logger.warning("The kept picture %s is left out, nothing can open it: %s", path, error)
            return None, None
        name = f"{IMAGES}/{Path(path).stem}.{suffix}"
        with private.opened(self._folder / name) as copy:
            copy.write(content)
        self._number += 1
        if (name, converted_from) != (same, None):
            self._renamed[path] = name, converted_from
        return name, converted_from


def _exported(data: bytes) -> tuple[bytes, str, str | None]:
    """A picture as others can open it, its suffix, and the format it was in where that is another one.

    Raises PictureError.
    """
    sent = extension(data)
    if sent in _EVERYWHERE and opens_in_pillow(data):
        return data, sent, None
    if sent == "bin":
        sent = read_header(data).format.lower()
    file = BytesIO()
    image = load_picture(data).image
    if sent in _WITHOUT_LOSS:
        image.save(file, "PNG")
        return file.getvalue(), "png", sent
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue(), "jpg", sent
