"""``python -m tests.benchmarks lines``: character errors of the recogniser on 300 drawn lines with signs.

The lines of ``lines.toml`` are drawn one a picture with DejaVu's fonts, in several sizes, colours and
grounds, some of them damaged by JPEG, and read by detector and recogniser as every picture is. Several
weights are read in turn, so that one table compares them.
"""

from __future__ import annotations

import io
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from inference.reading.ocr import WEIGHTS_FILE, Ocr

LINES_FILE = Path(__file__).with_name("lines.toml")
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
# Ground and ink.
COLOURS = (("white", "black"), ("black", "white"), ("#dde6f0", "#202840"), ("#7a1f2b", "#fff4c0"))
SIZES = (20, 26, 34, 46)  # pixels

# The same sign to a reader: written one way in the table, the other in print.
_ALIKE = str.maketrans({"—": "-", "–": "-", "\u00a0": " "})


def drawn(seed: int = 0) -> Iterator[tuple[str, str, Image.Image]]:
    """Kind, text and picture of each line, the same with every call."""
    pick = random.Random(seed)
    for kind, texts in tomllib.loads(LINES_FILE.read_text(encoding="utf-8")).items():
        for text in texts:
            size = pick.choice(SIZES)
            font = ImageFont.truetype(pick.choice(FONTS), size)
            ground, ink = pick.choice(COLOURS)
            width = int(font.getlength(text)) + 6 * size
            image = Image.new("RGB", (max(width, 240), 5 * size), ground)
            ImageDraw.Draw(image).text((2 * size, 2 * size), text, font=font, fill=ink)
            if pick.random() < 0.4:
                file = io.BytesIO()
                image.save(file, "JPEG", quality=pick.randint(30, 80))
                image = Image.open(file).convert("RGB")
            yield kind, text, image


def read(ocr: Ocr, image: Image.Image) -> str:
    """The words of a picture with one line, from left to right."""
    words = sorted(ocr.read(image), key=lambda word: word.box[0])
    return " ".join(word.text for word in words).translate(_ALIKE)


def errors(texts: Sequence[str], readings: Sequence[str]) -> float:
    """Characters wrong, missing or too many, by the characters there are."""
    wrong = sum(Levenshtein.distance(text, own) for text, own in zip(texts, readings, strict=True))
    return wrong / sum(map(len, texts))


def lines(
    weights: Annotated[
        list[Path] | None, typer.Option(help="Weights to compare; by default those that ship.", exists=True)
    ] = None,
    wrong: Annotated[bool, typer.Option(help="Show each line that is read wrongly.")] = False,
) -> None:
    """Character errors on 300 drawn lines with signs, numbers, addresses, Ukrainian and Belarusian."""
    torch.set_num_threads(1)
    console = Console()
    samples = list(drawn())
    readings: dict[str, list[str]] = {}
    for path in weights or [WEIGHTS_FILE]:
        ocr = Ocr(path)
        readings[path.name] = [read(ocr, image) for _, _, image in tqdm(samples, desc=path.name)]
    console.print(table(samples, readings))
    if wrong:
        for name, own in readings.items():
            for (kind, text, _), said in zip(samples, own, strict=True):
                if said != text.translate(_ALIKE):
                    console.print(f"{name} {kind}: {text} -> {said}", markup=False, highlight=False)


def table(samples: Sequence[tuple[str, str, Image.Image]], readings: Mapping[str, Sequence[str]]) -> Table:
    """Character errors by kind, a column for each reading."""
    made = Table("Kind", *readings, title="Character errors")
    kinds = list(dict.fromkeys(kind for kind, _, _ in samples))
    for row, among in [*((kind, {kind}) for kind in kinds), ("all", set(kinds))]:
        places = [place for place, (kind, _, _) in enumerate(samples) if kind in among]
        texts = [samples[place][1].translate(_ALIKE) for place in places]
        made.add_row(
            row, *(f"{errors(texts, [own[place] for place in places]):.3f}" for own in readings.values())
        )
    return made
