"""Tables for reading: the same rows on the terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

__all__ = ["Sheet"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A titled table of plain strings; columns after the first `text_columns` hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1

    def to_rich(self) -> Table:
        """For a rich console; nothing in it is read as rich's markup."""
        table = Table(title=Text(self.title), title_justify="left")
        for i, column in enumerate(self.columns):
            is_text = i < self.text_columns
            table.add_column(Text(column), justify="left" if is_text else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def to_markdown(self) -> str:
        """A heading-less Markdown table under its title, ending in a line break."""
        rule = [":--" if i < self.text_columns else "--:" for i in range(len(self.columns))]
        lines = [self.columns, rule, *self.rows]
        return f"{self.title}\n\n" + "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
