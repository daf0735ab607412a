"""What the `evaluate` and `compare` commands share: errors as one sentence, written files, names."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.common import tables
from inference.common.errors import UserError
from inference.common.file_names import ESCAPED
from train_scripts.metrics.evaluator import MEASURES, Measure

__all__ = [
    "Clip",
    "Pictures",
    "RuClips",
    "Split",
    "check_outputs",
    "check_rows",
    "clip_scores",
    "known_measure",
    "picture_folder",
    "system_names",
    "write_json",
    "write_rows",
    "write_text",
]


def write_text(path: Path, text: str, *, encoding: str = "utf-8") -> None:
    """Writes a report. Raises UserError where the file cannot be written."""
    with _writing(path):
        path.write_text(text, encoding=encoding, errors=ESCAPED, newline="")


def check_outputs(*paths: Path | None) -> None:
    """Raises UserError where a report cannot be written: to be asked before the work that it tells of. What
    is there stays as it is."""
    for path in filter(None, paths):
        if path.exists() and not path.is_file() and not path.is_dir():
            continue  # a pipe: whoever reads it would take this for its end
        with _writing(path):
            new = not path.exists()
            path.open("ab").close()
            if new:
                path.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path.") from None


_TABLES = {".csv": ",", ".tsv": "\t"}
_ROWS = (".jsonl", *_TABLES, "")  # none: /dev/stdout


def check_rows(path: Path | None) -> None:
    """Raises UserError where a file of rows would not be what its ending says: to be asked first."""
    if path is not None and path.suffix.lower() not in _ROWS:
        raise UserError(f"Rows are not written as {path.suffix} ({path}): name a .jsonl, .csv or .tsv file.")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes one JSON document."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines, or a table where the path ends in .csv or .tsv (see inference.common.tables).

    Of other endings see :func:`check_rows`.
    """
    separator = _TABLES.get(path.suffix.lower())
    if separator is not None:
        table = list(rows)
        text = io.StringIO(newline="")
        tables.Writer(text, list(table[0]), separator=separator).write(table)
        write_text(path, text.getvalue(), encoding=tables.ENCODING)
        return
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def known_measure(key: str) -> str:
    """The key, if it is one of the measures'. Raises UserError that lists them."""
    keys = [*(measure.key for measure in MEASURES), "clip_score"]
    if key not in keys:
        raise UserError(f"There is no score named {key}: choose one of {', '.join(keys)}.")
    return key


RuClips = Annotated[
    Path,
    typer.Option("--models-dir", envvar="MODELS_DIR", help="Where a ruCLIP for CLIPScore is looked for."),
]
Clip = Annotated[
    Path | None,
    typer.Option(help="Folder of a ruCLIP (config.json, pytorch_model.bin, bpe.model) for CLIPScore."),
]
Pictures = Annotated[
    Path | None,
    typer.Option(help="Folder that the file_names start from. Not given: the one of the references."),
]
Split = Annotated[str | None, typer.Option(help="Only the references whose `split` this is.")]


def picture_folder(pictures: Path | None, references: Path) -> Path:
    """Where the pictures lie."""
    return pictures or (references if references.is_dir() else references.parent)


def clip_scores(
    systems: Sequence[Mapping[str, str]], pictures: Path, clip: Path | None, models_dir: Path
) -> list[dict[Measure, dict[str, float]]]:
    """CLIPScore of the captions of each system, or nothing (which is said) where there is no ruCLIP.

    A picture that cannot be read is named, and has no part in it. Raises UserError where no picture can
    be read, or `clip` is given and is no ruCLIP.
    """
    if clip is None and not any(models_dir.glob("*ruclip*")):
        typer.echo(f"CLIPScore is left out: there is no ruCLIP in {models_dir} (see --clip).")
        return [{} for _ in systems]
    from train_scripts.metrics.clip_score import CLIP_SCORE, ClipScorer, find_ruclip  # noqa: PLC0415 - torch

    folder = clip or find_ruclip(models_dir)
    if folder is None:
        typer.echo(f"CLIPScore is left out: there is no whole ruCLIP in {models_dir} (see --clip).")
        return [{} for _ in systems]
    scorer = ClipScorer(folder)
    seen = scorer.pictures(pictures, systems[0])
    for sentence in seen.refused.values():
        typer.echo(f"Left out of CLIPScore: {sentence}", err=True)
    if not seen.vectors:
        raise UserError(
            f"None of the pictures can be read from {pictures}: name their folder with --pictures."
        )
    return [{CLIP_SCORE: scorer.scores(seen, captions)} for captions in systems]


def system_names(a: Path, b: Path) -> tuple[str, str]:
    """Short names to tell two files of predictions apart."""
    return (a.stem, b.stem) if a.stem != b.stem else (str(a), str(b))
