"""HTML pages to look at: pictures with their texts side by side, tables, curves; one file with everything in
it, so that it can be sent and kept.

`sheet(rows, path, title=…)` writes a whole page. A report of several parts puts them together itself:
`write_page(path, title, [table_html(scores), pictures_html(rows), …])`.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from inference.common.errors import UserError
from inference.common.file_names import ESCAPED, shown
from inference.common.types import PictureError
from inference.pictures.opening import load_picture
from train_scripts.pictures import picture_bytes
from train_scripts.tables import Sheet

__all__ = ["SheetError", "SheetRow", "pictures_html", "sheet", "table_html", "write_page"]

THUMBNAIL = 480  # pixels of the longer side: the words on a meme can still be read
_QUALITY = 78
_WORD = re.compile(r"[^\W_]{3,}")  # shorter words are shared by any two captions

_STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --back: #fff; --card: #f5f6f7; --line: #d9dce0;
  --quiet: #5c636b; --mark: #cdeccd; --bad: #a4262c; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e7e9; --back: #17191c; --card: #212428; --line: #383d43; --quiet: #a2a9b1;
    --mark: #24512b; --bad: #ff8f8f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px; max-width: 1200px; color: var(--text); background: var(--back);
  font: 16px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6em; margin: 0 0 8px; } h2 { font-size: 1.2em; margin: 32px 0 8px; }
p { max-width: 80ch; margin: 8px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .94em; }
th, td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.row { display: grid; grid-template-columns: minmax(180px, 320px) 1fr; gap: 18px; margin: 14px 0;
  padding: 14px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  break-inside: avoid; }
.row figure { margin: 0; }
.row img { display: block; width: auto; height: auto; max-width: 100%; max-height: 420px;
  border-radius: 4px; }
.row figcaption, .note { color: var(--quiet); font-size: .85em; overflow-wrap: anywhere; }
.missing { color: var(--bad); }
.texts { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 16px;
  align-content: start; }
.texts h3 { margin: 0 0 4px; font-size: .85em; color: var(--quiet); }
.texts p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.texts p.empty { color: var(--quiet); }
mark { background: var(--mark); color: inherit; border-radius: 3px; }
svg, img.chart { max-width: 100%; height: auto; }
@media (max-width: 700px) { .row { grid-template-columns: 1fr; } body { padding: 12px; } }
"""


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


def sheet(rows: Iterable[SheetRow], path: Path, *, title: str, about: str = "") -> None:
    """Writes a standalone page of pictures with their texts. `about`: a paragraph of plain text under the
    title. A picture that cannot be read is named in its place. Raises SheetError.
    """
    intro = [f"<p>{html.escape(about)}</p>"] if about else []
    write_page(path, title, [*intro, pictures_html(rows)])


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Writes `parts` (HTML) below the title as a standalone page. Raises SheetError."""
    page = (
        '<!DOCTYPE html>\n<html lang="ru">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
    try:
        path.write_text(page, encoding="utf-8", errors=ESCAPED)
    except OSError as error:
        raise SheetError(f"{path} cannot be written ({error.strerror}): choose another path.") from None


def table_html(table: Sheet) -> str:
    """A table of scores with its title as a heading."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{'' if i < table.text_columns else ' class=number'}>{html.escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in table.rows)
    return (
        f"<h2>{html.escape(table.title)}</h2>\n<div class=scroll><table>\n"
        f"<thead><tr>{line(table.columns, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def pictures_html(rows: Iterable[SheetRow]) -> str:
    """One block a picture: the picture as an embedded thumbnail, its texts side by side."""
    return "\n".join(map(_row, rows))


def _row(row: SheetRow) -> str:
    known = _words(row.texts[row.marks_of]) if row.marks_of is not None else frozenset()
    texts = "".join(
        f"<div><h3>{html.escape(who)}</h3>{_text(text, frozenset() if who == row.marks_of else known)}</div>"
        for who, text in row.texts.items()
    )
    note = f"<div class=note>{html.escape(row.note)}</div>" if row.note else ""
    return (
        f"<section class=row><figure>{_thumbnail(row)}<figcaption>{html.escape(shown(row.name))}</figcaption>"
        f"{note}</figure><div class=texts>{texts}</div></section>"
    )


def _thumbnail(row: SheetRow) -> str:
    if row.picture is None:
        return "<p class=missing>The picture is not at hand.</p>"
    try:
        image = load_picture(picture_bytes(row.picture)).image
    except OSError as error:
        return f"<p class=missing>The picture cannot be read: {html.escape(str(error.strerror))}.</p>"
    except PictureError as error:
        return f"<p class=missing>{html.escape(str(error))}</p>"
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    # The texts beside it say what is on it; a name that is read aloud twice helps nobody.
    return f'<img alt="" width={image.width} height={image.height} src="data:image/jpeg;base64,{data}">'


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower().replace("ё", "е") for word in _WORD.findall(text))


def _text(text: str, known: frozenset[str]) -> str:
    if not text.strip():
        return "<p class=empty>(empty)</p>"
    parts, end = [], 0
    for found in _WORD.finditer(text):
        if found.group().lower().replace("ё", "е") in known:
            parts += [
                html.escape(text[end : found.start()]),
                f"<mark>{html.escape(found.group())}</mark>",
            ]
            end = found.end()
    parts.append(html.escape(text[end:]))
    return f"<p>{''.join(parts)}</p>"
