"""HTML pages to look at: pictures with their texts side by side, and tables; one file with everything in it,
so that it can be sent and kept. How a page looks stands in ``train_scripts/templates``.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from inference.common.errors import UserError
from inference.common.file_names import shown
from inference.common.types import PictureError
from inference.pictures.opening import load_picture
from train_scripts.files import write_text
from train_scripts.pictures import picture_bytes
from train_scripts.tables import Sheet

__all__ = ["Section", "SheetError", "SheetRow", "table_section", "write_page"]

THUMBNAIL = 480  # pixels of the longer side: the words on a meme can still be read
_QUALITY = 78
_WORD = re.compile(r"[^\W_]{3,}")  # shorter words are shared by any two captions


class SheetError(UserError):
    """A page cannot be written; `str()` is one English sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One picture and what is said of it.

    `texts`: by the name of who says it, in the order of the columns. `marks_of`: the name of the text whose
    words are marked in the other ones (usually the reference). `note`: a line below the picture's name.
    """

    name: str
    picture: Path | None
    texts: Mapping[str, str]
    note: str = ""
    marks_of: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, in this order; what is empty is left out. All of it is plain text, never HTML.

    A picture that cannot be read is named in its place.
    """

    heading: str = ""
    paragraphs: Sequence[str] = ()
    table: Sheet | None = None
    pictures: Iterable[SheetRow] = ()


def table_section(table: Sheet) -> Section:
    """A table under its title."""
    return Section(table.title, table=table)


def write_page(path: Path, title: str, sections: Iterable[Section]) -> None:
    """Writes the sections below the title as a standalone page. Raises SheetError."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape  # noqa: PLC0415 - help does without

    environment = Environment(
        loader=PackageLoader("train_scripts"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
    )
    environment.filters["block"] = _block
    page = environment.get_template("page.html").render(title=title, sections=sections)
    try:
        write_text(path, page)
    except OSError as error:
        raise SheetError(f"{path} cannot be written ({error.strerror}): choose another path.") from error


@dataclass(frozen=True, slots=True)
class _Thumbnail:
    width: int
    height: int
    base64: str  # of a JPEG


@dataclass(frozen=True, slots=True)
class _Block:
    """What the template shows of a row: `thumbnail`, or the `problem` why there is none; for each text who
    says it and its pieces, of which the marked ones are words of `marks_of`."""

    name: str
    note: str
    thumbnail: _Thumbnail | None
    problem: str
    texts: Sequence[tuple[str, Sequence[tuple[str, bool]]]]


def _block(row: SheetRow) -> _Block:
    thumbnail, problem = _thumbnail(row)
    known = _words(row.texts[row.marks_of]) if row.marks_of is not None else frozenset()
    texts = [
        (who, _pieces(text, frozenset() if who == row.marks_of else known)) for who, text in row.texts.items()
    ]
    return _Block(shown(row.name), row.note, thumbnail, problem, texts)


def _thumbnail(row: SheetRow) -> tuple[_Thumbnail | None, str]:
    if row.picture is None:
        return None, "The picture is not at hand."
    try:
        image = load_picture(picture_bytes(row.picture)).image
    except OSError as error:
        return None, f"The picture cannot be read: {error.strerror}."
    except PictureError as error:
        return None, str(error)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return _Thumbnail(image.width, image.height, base64.b64encode(file.getvalue()).decode("ascii")), ""


def _words(text: str) -> frozenset[str]:
    return frozenset(map(_key, _WORD.findall(text)))


def _key(word: str) -> str:
    return word.lower().replace("ё", "е")


def _pieces(text: str, known: frozenset[str]) -> list[tuple[str, bool]]:
    """The text in order, parted where words are marked; nothing of a text of white space."""
    if not text.strip():
        return []
    pieces, end = [], 0
    for found in _WORD.finditer(text):
        if _key(found.group()) in known:
            pieces += [(text[end : found.start()], False), (found.group(), True)]
            end = found.end()
    return [*pieces, (text[end:], False)]
