"""``python -m inference caption``: describe files, folders and the rows of .jsonl files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from tqdm import tqdm

from inference.checkpoints.models import model_info
from inference.checkpoints.names import ModelName
from inference.commands.common import (
    DEFAULTS,
    BatchSize,
    CaptionerName,
    ModelsDir,
    PictureSeconds,
    Threads,
)
from inference.commands.timings import timings
from inference.common.errors import UserError
from inference.common.file_names import ESCAPED, AmbiguousNameError, name_of, picture_of, shown
from inference.common.json_lines import from_json
from inference.common.quoting import unquoted
from inference.common.types import (
    Caption,
    DecodingOptions,
    Detail,
    EngineError,
    Language,
    ModelNotLoaded,
    PictureError,
    UnknownModel,
)
from inference.pictures.files import read_file
from inference.pictures.kinds import PICTURE_SUFFIXES, looks_like_picture
from inference.serving.engine import Engine, EngineSettings

Row = dict[str, Any]

_TABLES = frozenset({".csv", ".tsv", ".xls", ".xlsx"})  # what is written is none of these
_NOTES = {  # of a picture of which not all is described, or not as it stands
    "first_frame": "This is an animation: only its first frame is described.",
    "first_page": "There are several pages in this file: only the first one is described.",
    "partial": "This picture is not whole: only what is there is described.",
    "unreadable": "Most of the words on the picture could not be read.",
    "upside_down": "The picture is upside down: it is described the right way up.",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to caption, and what its row is called."""

    file_name: str
    path: Path
    error: str = ""  # why its path cannot be told


def caption(  # noqa: PLR0917 - Typer passes everything by name
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Pictures, folders (searched to the bottom), or .jsonl files whose rows have a file_name "
            "relative to the .jsonl.",
        ),
    ],
    model: Annotated[str, typer.Option(envvar="MODEL", help="One of those that `models` lists.")] = (
        DEFAULTS.model
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a picture.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the JSON rows to this file. Pictures that have a row there are not redone."),
    ] = None,
    detail: Annotated[
        Detail, typer.Option(help="How much is told, by models that know several lengths.")
    ] = "usual",
    quoting: Annotated[
        bool, typer.Option(help="Whether the words on a picture stand in the text, each in its place.")
    ] = True,
    language: Annotated[
        Language, typer.Option(help="Of the text, by models that know several languages.")
    ] = "ru",
    models_dir: ModelsDir = DEFAULTS.models_dir,
    batch_size: BatchSize = DEFAULTS.batch_size,
    threads: Threads = None,
    timeout: PictureSeconds = DEFAULTS.picture_timeout,
    captioner: CaptionerName = DEFAULTS.captioner,
    show_timings: Annotated[
        bool, typer.Option("--timings", help="Print where the time went, stage by stage.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the worker's log.")] = False,
) -> None:
    """Describe pictures.

    A picture that is refused gets a row with `error` instead of `text`, and the others go on. The exit status
    is 1 when no picture got a caption, 2 when the command could not be done at all.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, stream=sys.stderr)
    settings = EngineSettings(
        model=model,
        models_dir=models_dir,
        batch_size=batch_size,
        picture_timeout=timeout,
        threads=threads,
        captioner=captioner,
    )
    if output is not None and output.suffix.lower() in _TABLES:
        typer.echo(f"The rows are JSON lines, no table: name a .jsonl file instead of {output}.", err=True)
        raise typer.Exit(2)
    asked = DecodingOptions.telling(detail=detail, quoting=quoting, language=language)
    try:
        engine = Engine(settings)
        _check_language(settings, language)
        identity = {"model": name_of(model), **asdict(engine.version())}
        items = gather(paths)
        kept = kept_rows(output, identity, asked) if output else {}
        missing = [item for item in items if item.file_name not in kept]
        write = _writer(output, as_json, len(items))
        rows = asyncio.run(_caption_all(engine, missing, asked, identity, write))
    except UserError as error:
        typer.echo(shown(str(error)), err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        go_on = f" What is done is in {output}: the same command goes on from there." if output else ""
        typer.echo(f"Stopped.{go_on}", err=True)
        raise typer.Exit(130) from interrupt
    every_row = [*kept.values(), *rows]
    failed = sum("error" in row for row in every_row)
    if show_timings and failed < len(every_row):
        Console(stderr=True).print(timings([row["seconds"] for row in every_row if "error" not in row]))
    if output:
        typer.echo(
            f"{shown(str(output))}: {len(every_row) - failed} captions, {failed} pictures refused "
            f"({len(missing)} done now, {len(items) - len(missing)} before).",
            err=True,
        )
    if failed == len(every_row):
        raise typer.Exit(1)


def _check_language(settings: EngineSettings, language: Language) -> None:
    """Raises UserError where the model does not know the language, or there is no such model."""
    if language == "ru":  # which all know
        return
    known = model_info(settings.models_dir, ModelName.parse(settings.model)).languages
    if language not in known:
        raise UserError(f"{settings.model} describes in {', '.join(known)} only: choose that --language.")


def gather(paths: list[Path]) -> list[Item]:
    """The pictures behind the paths, each once. Raises UserError when there are none, or two of one name."""
    items: dict[str, Item] = {}
    for path in paths:
        for item in _items_of(path):
            other = items.setdefault(item.file_name, item)
            if other is not item and other.path.resolve() != item.path.resolve():
                raise UserError(
                    f"{name_of(other.path)} and {name_of(item.path)} would both be called {item.file_name}: "
                    "caption them one at a time."
                )
    if not items:
        raise UserError(
            f"No pictures in {', '.join(map(str, paths))}: name a picture or a folder of pictures."
        )
    return list(items.values())


def _items_of(path: Path) -> Iterator[Item]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if not hidden and file.is_file() and _is_picture(file):
                yield Item(name_of(file.relative_to(path)), file)
    elif not path.exists():
        raise UserError(f"{path} does not exist: name a picture, a folder or a .jsonl file.")
    elif path.suffix.lower() == ".jsonl":
        for number, row in _json_lines(path):
            if row.get("file_name", "") is None:  # exported feedback on a picture that was not kept
                continue
            name = row.get("file_name")
            if not isinstance(name, str) or not name:
                raise UserError(f"{path}, line {number}: there is no file_name, which every row needs.")
            yield _named(path.parent, name)
    else:
        yield Item(name_of(path), path)


def _named(folder: Path, name: str) -> Item:
    """What a row names; it may lie in another folder."""
    try:
        path = folder / name
        return Item(name, path if "\0" not in name and os.path.exists(path) else picture_of(folder, name))  # noqa: PTH110 - a name too long is none
    except AmbiguousNameError as error:
        return Item(name, folder / name, str(error))


def _is_picture(file: Path) -> bool:
    if file.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with file.open("rb") as opened:
            return looks_like_picture(opened.read(16))
    except OSError:
        return False


def _json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, object) of every line that is not blank. Raises UserError."""
    try:
        # Not splitlines(): a caption may hold other separators, such as U+2028, as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): name a JSON Lines file in UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = from_json(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number} is not a JSON object: correct it or name another file.")
        yield number, row


def kept_rows(output: Path, identity: Row, asked: DecodingOptions | None) -> dict[str, Row]:
    """The rows already in the file, by file_name, its torn last line cut off. Raises UserError.

    `identity`: the model and version the new rows will name; those of another are not mixed with them, nor
    those that tell another way than is `asked` for.
    """
    try:
        if not output.exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            return {}
        data = output.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the run before was killed while it wrote
            with output.open("r+b") as file:
                file.truncate(whole)
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror}): choose another --output.") from error
    rows = {}
    for number, row in _json_lines(output):
        if "file_name" not in row:
            raise UserError(f"{output}, line {number} is not a caption's row: choose another --output.")
        if any(row.get(key) != identity[key] for key in ("model", "checkpoint")):
            raise UserError(
                f"{output}, line {number} is by {row.get('model')} ({str(row.get('checkpoint'))[:12]}), not "
                f"by {identity['model']} ({identity['checkpoint'][:12]}): choose another --output."
            )
        if row.get("program") != identity["program"]:
            raise UserError(
                f"{output}, line {number} is by another version of this program, which may say other things: "
                "choose another --output."
            )
        if "options" in row and not _is_told_as(row["options"], asked or DecodingOptions()):
            raise UserError(
                f"{output}, line {number} tells more or less, or in another language, than is asked for now: "
                "choose another --output."
            )
        rows[row["file_name"]] = row
    return rows


def _is_told_as(options: Row, asked: DecodingOptions) -> bool:
    return asked.told_as(DecodingOptions.from_dict(options)) == asked


def _writer(output: Path | None, as_json: bool, total: int) -> Callable[[Row], None]:
    """Where the rows go, as they come."""

    def write(row: Row) -> None:
        line = json.dumps(row, ensure_ascii=False)
        if output:
            try:
                with output.open("a", encoding="utf-8", errors=ESCAPED) as file:
                    file.write(line + "\n")
            except OSError as error:
                raise UserError(
                    f"{output} cannot be written ({error.strerror}): make room, or choose another --output."
                ) from error
        if as_json:
            _print(line)
        elif not output:
            _print(_readable(row, heading=total > 1))
        elif "error" in row:
            tqdm.write(f"{shown(row['file_name'])}: {row['error']}", file=sys.stderr)

    return write


def _print(text: str) -> None:
    tqdm.write(text, file=sys.stdout)  # above the progress bar, which is on stderr
    sys.stdout.flush()


def _readable(row: Row, *, heading: bool) -> str:
    parts = [f"== {shown(row['file_name'])}"] if heading else []
    if "error" in row:
        return "\n".join([*parts, row["error"], ""] if heading else [row["error"]])
    parts.append(row["text"] or row["summary"])
    if unsaid := unquoted(row["text"], row["words"]):
        parts += ["", *unsaid]
    if told := [_NOTES[note] for note in row["notes"] if note in _NOTES]:
        parts += ["", *told]
    return "\n".join([*parts, ""] if heading else parts)


async def _caption_all(
    engine: Engine,
    items: list[Item],
    asked: DecodingOptions | None,
    identity: Row,
    write: Callable[[Row], None],
) -> list[Row]:
    """The rows, in the items' order; each is written as soon as it and those before it are there."""
    rows: list[Row] = []
    if not items:
        return rows
    # Two batches: one in work, and one that waits for the worker, so that it never pauses between them. A
    # server elsewhere has as many at once as it may.
    elsewhere = ModelName.parse(engine.settings.model).model.elsewhere
    ahead = engine.settings.queue_size if elsewhere else 2 * engine.settings.batch_size
    interval = 0.1 if sys.stderr.isatty() else 10.0
    bar = tqdm(total=len(items), unit="picture", disable=len(items) == 1, mininterval=interval)
    waiting: deque[asyncio.Task[Row]] = deque()
    with bar:
        async with engine:
            try:
                for position in range(len(items) + ahead):
                    if position < len(items):
                        waiting.append(asyncio.create_task(_row(engine, items[position], asked, identity)))
                    if waiting and position >= ahead - 1:
                        rows.append(await waiting.popleft())
                        write(rows[-1])
                        bar.update()
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
    return rows


async def _row(engine: Engine, item: Item, asked: DecodingOptions | None, identity: Row) -> Row:
    if item.error:
        return {"file_name": item.file_name, "error": item.error, **identity}
    try:
        found = await engine.caption(read_file(item.path), options=asked)
    except (UnknownModel, ModelNotLoaded):
        raise  # no other picture would do better
    except (PictureError, EngineError) as error:
        return {"file_name": item.file_name, "error": str(error), **identity}
    return {"file_name": item.file_name, **_row_of(found)}


def _row_of(found: Caption) -> Row:
    values = found.to_dict()
    values["seconds"] = {stage: round(seconds, 4) for stage, seconds in found.seconds.items()}
    return values
