"""The rows of an export: what one person said about one caption, and what they asked about a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bot.feedback import private
from bot.feedback.export.formats import COLUMNS, Row, open_table
from bot.feedback.export.pictures import Copies
from bot.feedback.export.report import ExportFormat
from bot.feedback.reports import Conversation, Described, Feedback
from bot.feedback.store import Store
from bot.feedback.tables import iso

TURNS = "turns.jsonl"


class Rows:
    """Turns feedback into rows and files. Blocking: for a thread."""

    def __init__(self, store: Store, folder: Path, export_format: ExportFormat) -> None:
        self.count = 0
        self.without_pictures = 0
        self.copies = Copies(store.pictures, folder)
        self._pseudonyms = store.pseudonyms
        self._table = open_table(folder, export_format)
        self._told: tuple[Described, Row] | None = None  # the caption that was told of last
        self.turns = 0
        self._turns = private.opened(folder / TURNS)

    def add(self, batch: Sequence[Feedback]) -> None:
        """Write a row for each."""
        rows = [self._row(item) for item in batch]
        self.count += len(rows)
        self.without_pictures += sum(row["file_name"] is None for row in rows)
        self._table.write(rows)

    def add_turns(self, batch: Sequence[Conversation]) -> None:
        """Write a row for each question that was answered."""
        self.turns += len(batch)
        for item in batch:
            self._turns.write((json.dumps(self._turn(item), ensure_ascii=False) + "\n").encode())

    def close(self) -> None:
        """There are no more."""
        self._table.close()
        self._turns.close()

    def _turn(self, item: Conversation) -> Row:
        turn = item.turn
        file_name, _ = self.copies.copy(item.path)
        return {
            "file_name": file_name,
            "caption": item.caption,
            "words": item.words,
            "question": turn.question,
            "answer": turn.answer,
            "model": turn.model,
            "checkpoint": turn.checkpoint,
            "user": item.user,
            "picture": self._pseudonyms.picture(item.sha256),
            "created_at": iso(turn.created_at),
        }

    def _row(self, item: Feedback) -> Row:
        if self._told is None or self._told[0] is not item.caption:
            self._told = item.caption, self._of_caption(item.caption)
        row = self._told[1] | {
            "rating": item.mark,
            "user": item.user,
            "rated_at": iso(item.rated_at),
            "corrected_at": iso(item.corrected_at),
        }
        if item.correction is not None:
            row |= {"text": item.correction, "corrected": True}
        return row

    def _of_caption(self, caption: Described) -> Row:
        """A row about it; what people said is to be filled in."""
        file_name, converted_from = self.copies.copy(caption.path)
        told = {
            "file_name": file_name,
            "text": caption.text,
            "model": caption.model,
            "checkpoint": caption.checkpoint,
            "options": caption.options,
            "words": caption.words,
            "created_at": iso(caption.created_at),
            "corrected": False,
            "caption": caption.text,
            "picture": self._pseudonyms.picture(caption.sha256),
            "converted_from": converted_from,
        }
        return {name: told.get(name) for name in COLUMNS}
