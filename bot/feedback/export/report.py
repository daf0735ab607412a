"""What an export is asked for, what it says of itself, and why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bot.feedback.database import StoreError

ExportFormat = Literal["imagefolder", "csv", "parquet"]


class ExportError(StoreError):
    """The export cannot be made as asked: ``str()`` says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds. It lies beside the data as export.json."""

    format: ExportFormat
    rows: int  # one a person and caption
    without_pictures: int  # of them: the picture was not kept (no consent)
    pictures: int  # files; several rows may be about one
    turns: int  # questions that were answered
    since: str | None
    min_rating: int | None
    made_at: str

    @property
    def empty(self) -> bool:
        """Whether nobody has said anything that fits."""
        return not (self.rows or self.turns)

    def __str__(self) -> str:
        if self.empty:
            return (
                "Nothing to export: no mark, correction or question fits. Ask for less with --since and "
                "--min-rating, or wait until somebody has rated a description."
            )
        text = f"{self.rows} rows, {self.pictures} pictures ({self.format}), {self.turns} questions."
        if self.without_pictures:
            text += (
                f" {self.without_pictures} rows are without a picture (file_name is null), since its sender "
                "has not let it be kept; people change that by sending /privacy to the bot."
            )
        if not self.pictures and self.format == "imagefolder":
            text += (
                ' No row has a picture, so load_dataset("imagefolder") cannot read this folder; '
                'load_dataset("json", data_files="metadata.jsonl") can.'
            )
        return text


def parse_since(text: str) -> datetime:
    """An ISO 8601 date or date with time; UTC unless it names another zone. Raises ExportError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the year 0 or 10000 in UTC
        raise ExportError(f"{text!r} is not a date; write it like 2026-01-31 or 2026-01-31T18:00.") from error
