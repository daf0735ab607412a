"""The rows of an export: what one person said about one caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.feedback.export.formats import Row, open_table
from bot.feedback.export.pictures import Copies
from bot.feedback.export.report import ExportFormat
from bot.feedback.reports import Feedback
from bot.feedback.store import Store
from bot.feedback.tables import iso


class Rows:
    """Turns feedback into rows and files. Blocking: for a thread."""

    def __init__(self, store: Store, folder: Path, export_format: ExportFormat) -> None:
        self.count = 0
        self.without_pictures = 0
        self.copies = Copies(store.pictures, folder)
        self._pseudonyms = store.pseudonyms
        self._table = open_table(folder, export_format)

    def add(self, batch: Sequence[Feedback]) -> None:
        """Write a row for each."""
        rows = [self._row(item) for item in batch]
        self.count += len(rows)
        self.without_pictures += sum(row["file_name"] is None for row in rows)
        self._table.write(rows)

    def close(self) -> None:
        """There are no more."""
        self._table.close()

    def _row(self, item: Feedback) -> Row:
        caption = item.caption
        file_name, converted_from = self.copies.copy(item.picture.path)
        return {
            "file_name": file_name,
            "text": caption.text if item.correction is None else item.correction,
            "rating": item.mark,
            "model": caption.model,
            "checkpoint": caption.checkpoint,
            "options": caption.options,
            "words": caption.words,
            "user": item.user,
            "created_at": iso(caption.created_at),
            "rated_at": iso(item.rated_at),
            "corrected_at": iso(item.corrected_at),
            "corrected": item.correction is not None,
            "caption": caption.text,
            "picture": self._pseudonyms.picture(item.picture.sha256),
            "converted_from": converted_from,
        }
