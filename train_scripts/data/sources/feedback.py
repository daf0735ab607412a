"""The bot's own export, in any of its formats: corrections, and captions that people found good."""

from __future__ import annotations

from pathlib import Path

from inference.common.errors import UserError
from train_scripts.data.exports import ExportError, read_export
from train_scripts.data.records import Items, Record, Refused, find_picture

__all__ = ["read_feedback"]


def read_feedback(folder: Path, *, erased: Path | None = None, min_rating: int = 4) -> Items:
    """A correction is a caption; so is the model's own text where it was marked `min_rating` (1..5) or
    better. What was erased since the export is left out: see `train_scripts.data.exports`.

    Raises UserError: the folder is no export, or may still hold what was erased.
    """
    try:
        export = read_export(folder, erased)
    except ExportError as error:
        raise UserError(str(error)) from None
    for _ in range(export.erased):
        yield Refused(str(folder), "erased since", f"{folder} holds a row that was erased since.")
    for row in export.rows:
        where = f"{folder}, {row.where.rstrip(',')}"
        if row.file_name is None:
            yield Refused(where, "picture not kept", f"{where}, is about a picture that was not kept.")
        elif row.correction is None and (row.rating is None or row.rating < min_rating):
            yield Refused(where, "mark too low", f"{where}, has no correction and a mark below {min_rating}.")
        else:
            text = row.caption if row.correction is None else row.correction
            yield Record(
                where, row.file_name, find_picture(folder, row.file_name), text.strip() or None, "feedback"
            )
