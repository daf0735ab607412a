"""What a fine-tuning run reads: the pictures and what people said about their captions.

``imagefolder``  images/ and metadata.jsonl: ``datasets.load_dataset("imagefolder", data_dir=...)`` reads it
``csv``          images/ and feedback.csv; lists and options are JSON inside their cell; see common.tables
``parquet``      images/ and feedback.parquet; options are JSON inside their cell

Columns: file_name, text (the correction where there is one, else the caption), rating (1..5 or null), model,
checkpoint, options, words, user (a pseudonym), created_at (of the caption), rated_at, corrected_at,
corrected, caption (as the model wrote it), picture (a pseudonym), converted_from (the format the picture was
sent in, where that is not the one it is exported in). Times are UTC, ISO 8601, whole seconds. Every picture
opens in Pillow without anything added to it, and so in `datasets`: one that does not (HEIC, AVIF, one that
came damaged) is converted to what the model saw of it, every other keeps the bytes its sender sent. Where
they were not kept, file_name is null (an empty cell in CSV): load_dataset gives such a row with the image
None.

Beside the data: turns.jsonl (a row for each question about a picture that was answered, in the order of the
answers; columns as above, with question and answer, and the description under which it was asked as caption),
export.json (what the export holds, and when it was made), and erased.jsonl, from which whoever holds an
earlier export learns what may no longer be used: its first row says when it was made, every other one names a
user or a picture by pseudonym and says since when.
"""

from bot.feedback.export.folder import export
from bot.feedback.export.report import ExportError, ExportFormat, ExportReport, parse_since
from bot.feedback.export.zips import archive

__all__ = ["ExportError", "ExportFormat", "ExportReport", "archive", "export", "parse_since"]
