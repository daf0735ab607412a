"""``python -m tests.benchmarks.training [DATA]``: what keeping a frozen encoder's features saves, in one run.

`resnet101-lstm-navec` at full size, with random weights, on the same pictures: an epoch that encodes every
picture, the encoding of all of them once with all cores busy, and epochs over kept features.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from inference.captioners.building import build
from inference.pictures.opening import load_picture
from inference.presets.preset import preset
from tests.drawing import DEFAULT_WORDS, KINDS, draw_meme, jpeg_bytes
from train_scripts.process import set_up_process
from train_scripts.training.config import load_config
from train_scripts.training.data import read_rows
from train_scripts.training.loop import Training, accelerator_of
from train_scripts.training.seeing import ahead, pool_of

_EPOCHS = 8  # of which the first is counted by itself
_ROUNDS = 3
_WORDS = ("кот", "собака", "сидит", "смотрит", "на", "белом", "фоне", "надпись", "сверху", "человек", "дом")


def draw_data(folder: Path, count: int, length: int) -> None:
    """``count`` drawn memes, each with a caption of about ``length`` words."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        name = f"images/{number}.jpg"
        words = [f"{text} {number}" for text in DEFAULT_WORDS[kind]]
        (folder / name).write_bytes(jpeg_bytes(draw_meme(kind, *words, width=800)))
        said = [_WORDS[(number * 7 + 3 * i) % len(_WORDS)] for i in range(length - 5 + number % 11)]
        rows.append({"file_name": name, "text": " ".join(said)})
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")


def take_data(source: Path, folder: Path, count: int) -> None:
    """The first ``count`` rows of train of a data set, and nothing of val: that is no part of an epoch."""
    folder.mkdir()
    lines = []
    for row in read_rows(source, "train")[:count]:
        (folder / row.file_name).parent.mkdir(parents=True, exist_ok=True)
        (folder / row.file_name).symlink_to(row.picture.resolve())
        lines.append(json.dumps({"file_name": row.file_name, "text": row.text}, ensure_ascii=False) + "\n")
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")


def encode_once(pictures: list[Path]) -> float:
    """Seconds of running all pictures through the encoder in the plain way: threads open them, torch takes
    all cores for 25 at a time."""
    encoder = build(preset("resnet101-lstm-navec")).encoder.eval()

    def pixels(batch: list[Path]) -> torch.Tensor:
        return encoder.pixels([load_picture(path.read_bytes()).image for path in batch])

    batches = [pictures[i : i + 25] for i in range(0, len(pictures), 25)]
    started = time.perf_counter()
    with pool_of(0) as pool, torch.inference_mode():
        for prepared in ahead(pool, [partial(pixels, batch) for batch in batches], 2):
            encoder(prepared)
    return time.perf_counter() - started


def seconds_of_epochs(data: Path, work: Path, name: str, *settings: str) -> list[dict[str, float]]:
    """The records of a run's epochs."""
    wanted = [
        f"sources.memes={data}",
        "stages.photos=null",
        "stages.memes.checkpoint_every=0",
        "encoder.weights=random",
        "vectors=random",
        *settings,
    ]
    config = load_config("resnet101-lstm-navec", wanted)
    run = work / name
    Training(config, run, resume=False, accelerator=accelerator_of(config)).run()
    return [json.loads(line) for line in (run / "epochs.jsonl").read_text(encoding="utf-8").splitlines()]


def main(
    data: Annotated[
        Path | None, typer.Argument(help="A data set with train.jsonl or metadata.jsonl; none: drawn memes.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=25, help="Pictures to use.")] = 100,
    words: Annotated[int, typer.Option(min=6, help="Words of a drawn meme's caption.")] = 50,
) -> None:
    """Measure, and print one table."""
    set_up_process()
    work = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        chosen = work / "data"
        if data is None:
            draw_data(chosen, pictures, words)
        else:
            take_data(data, chosen, pictures)
        rows = read_rows(chosen, "train")
        epochs = f"stages.memes.epochs={_EPOCHS}"
        first, later, seen, once = [], [], [], []
        # In turn, since a machine is not equally fast all the time.
        for turn in range(_ROUNDS):
            folder = work / str(turn)
            kept = seconds_of_epochs(chosen, folder, "kept", f"cache={folder / 'features'}", epochs)
            first.append(kept[0]["seconds"] + kept[0]["seconds_features"])
            later += [epoch["seconds"] for epoch in kept[1:]]
            every = seconds_of_epochs(chosen, folder, "seen", "cache=off", "stages.memes.epochs=1")
            seen.append(every[0]["seconds"])
            once.append(encode_once([row.picture for row in rows]))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    tokens = statistics.mean(len(row.text.split()) for row in rows)
    table = Table(
        title=f"resnet101-lstm-navec, {len(rows)} pictures, {tokens:.0f} words a caption",
        title_justify="left",
    )
    table.add_column("")
    for column in ("seconds", "a picture, ms", "times"):
        table.add_column(column, justify="right")
    for name, measured, base in (
        ("an epoch that encodes every picture", seen, None),
        ("encoding all of them once, all cores", once, None),
        ("first epoch, features kept as it goes", first, once),
        ("a later epoch, over kept features", later, seen),
    ):
        seconds = statistics.median(measured)
        times = f"{statistics.median(base) / seconds:.1f} x faster" if base else ""
        table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / len(rows):.1f}", times)
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
