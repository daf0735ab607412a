"""The command that trains the recogniser."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from inference.reading.ocr import WEIGHTS_FILE
from train_scripts.pictures import UnreadablePicturesError, check_pictures
from train_scripts.terminal import one_sentence


def recognizer_command(  # noqa: PLR0917 - the options of a command
    memes: Annotated[Path, typer.Argument(help="Folder with images/ and train.jsonl.", exists=True)],
    pretrained: Annotated[
        Path, typer.Option(help="Folder models/ of the PyPI package rapidocr (PP-OCRv6 small).", exists=True)
    ],
    photos: Annotated[Path, typer.Option(help="Photo captions (JSON lines with text).", exists=True)],
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Folder of fonts; may be given several times.", exists=True)
    ] = None,
    lines: Annotated[int, typer.Option(help="Rendered lines, then a half of that with real ones.")] = 20_000,
    out: Annotated[
        Path, typer.Option(help="The weights; the default is the file that ships.")
    ] = WEIGHTS_FILE,
) -> None:
    """Train the recogniser of Cyrillic and Latin lines: first on rendered ones, then on real ones too."""
    from inference.reading.ocr import Ocr  # noqa: PLC0415 - torch
    from train_scripts.reader import labels, render, text, train  # noqa: PLC0415
    from train_scripts.reader import pretrained as published  # noqa: PLC0415

    rows = [json.loads(row) for row in (memes / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    with one_sentence(UnreadablePicturesError):
        check_pictures(memes / row["file_name"] for row in rows)
    captions = [json.loads(row)["text"] for row in photos.read_text(encoding="utf-8").splitlines()]
    corpus = text.build_corpus([row["text"] for row in rows], captions)
    detector = published.load_detector(pretrained)
    recognizer = train.with_own_head(*published.load_recognizer(pretrained))
    train.save(out, detector, recognizer)
    names = [row["file_name"] for row in rows]
    random.Random(1).shuffle(names)
    grounds = list(labels.empty_grounds(memes, names, Ocr(out)))
    found = render.find_fonts(fonts or [Path("/usr/share/fonts")])
    renderer = render.LineRenderer(1, corpus, found, grounds)
    recognizer = train.train(recognizer, train.batches(renderer, [], share=0.0, seed=1), lines=lines)
    train.save(out, detector, recognizer)
    real = list(labels.real_lines(memes, rows, Ocr(out)))
    data = train.batches(renderer, real, share=0.4, seed=2)
    recognizer = train.train(recognizer, data, lines=lines // 2, rate=0.6)
    train.save(out, detector, recognizer)
    Console().print(f"{len(found)} fonts, {len(grounds)} grounds, {len(real)} real lines; written to {out}.")
