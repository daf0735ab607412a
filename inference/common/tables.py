"""CSV that spreadsheets open and programs read: everybody here who writes a table writes it with this.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and runs it: whoever
writes a correction could so reach into the machine of whoever opens the export. Such a cell of text (also
behind white space, quotation marks or apostrophes, or with a tab or a line break at its beginning) gets an
apostrophe before it, which :func:`plain` takes away again: every text comes back exactly. Numbers stay
numbers. Without a byte order mark Excel takes UTF-8 for another encoding; that mark also says that a table is
one of these.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
ENCODING = "utf-8-sig"  # writes the mark, and reads tables with and without one

# The full-width signs are formulas to spreadsheets in some languages.
_FORMULA = re.compile(r"""[\s\ufeff'"`’‘]*[=+\-@＝＋－＠]|'*[\t\r\n\0]""")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may take this for a formula, or could if apostrophes before it were lost."""
    return _FORMULA.match(text) is not None


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return f"'{text}" if is_formula(text) else text


def plain(cell: str) -> str:
    """The text of a cell that :func:`harmless` made."""
    return cell[1:] if cell.startswith("'") and is_formula(cell[1:]) else cell


class Writer:
    """Writes a table with a header; the file must be open in ENCODING with ``newline=""``.

    None is an empty cell. What is no text (numbers, say) is written as Python writes it.
    """

    def __init__(self, file: TextIO, columns: Sequence[str], *, separator: str = ",") -> None:
        self._columns = tuple(columns)
        self._writer = csv.writer(file, delimiter=separator, lineterminator="\r\n")
        self._writer.writerow(self._columns)

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows; each must have the table's columns and no other. Raises ValueError."""
        for row in rows:
            if row.keys() != set(self._columns):
                raise ValueError(
                    f"A row has the columns {', '.join(row)}, the table {', '.join(self._columns)}."
                )
            cells = [row[name] for name in self._columns]
            self._writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])
