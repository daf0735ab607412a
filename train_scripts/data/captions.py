"""Captions by picture, out of JSON lines: imagefolder's `metadata.jsonl`, references, any system's
predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

__all__ = ["CaptionFileError", "read_captions"]


class CaptionFileError(ValueError):
    """A caption file cannot be used; `str()` is one English sentence that names the file, the line and what
    to do.
    """


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaptionFileError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    for number, raw in enumerate(data.split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise CaptionFileError(f"{path}, line {number}, is not UTF-8: save the file as UTF-8.") from None
        if line:
            yield number, line


def read_captions(path: Path, *, refused_as_empty: bool = False) -> dict[str, str]:
    """Reads one caption a picture, in the order of the file.

    `path`: a JSON-lines file whose rows hold `file_name` and `text` (other keys are not looked at), or an
    imagefolder with a `metadata.jsonl` in it. Blank lines are passed over, and rows whose `file_name`
    is null (exported feedback on a picture that was not kept). `refused_as_empty`: a row with
    `error` and no `text` (`python -m inference caption` writes one for a picture it cannot read) counts as an
    empty caption; otherwise it is an error.

    Raises CaptionFileError for a file that cannot be read, a row that is not such an object, a picture named
    twice, and a file without rows.
    """
    if path.is_dir():
        path = path / "metadata.jsonl"
    captions: dict[str, str] = {}
    first_seen: dict[str, int] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number},"
        try:
            row = json.loads(line)
        except ValueError:
            raise CaptionFileError(
                f"{where} is not valid JSON: mend or remove the line (a write may have been cut short)."
            ) from None
        if not isinstance(row, dict):
            raise CaptionFileError(
                f'{where} is not an object: each row must be {{"file_name": …, "text": …}}.'
            )
        if row.get("file_name", "") is None:  # exported feedback on a picture that was not kept
            continue
        name, text = row.get("file_name"), row.get("text")
        if not isinstance(name, str) or not name:
            raise CaptionFileError(f'{where} has no "file_name": add the name of the picture it describes.')
        if text is None and refused_as_empty and "error" in row:
            text = ""
        if not isinstance(text, str):
            raise CaptionFileError(f'{where} has no "text" for {name}: add the caption as a string.')
        if name in captions:
            raise CaptionFileError(
                f"{where} repeats {name} of line {first_seen[name]}: keep one caption a picture."
            )
        captions[name] = text
        first_seen[name] = number
    if not captions:
        raise CaptionFileError(f"{path} has no rows: it must hold one caption a line.")
    return captions
