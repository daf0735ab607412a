"""The recipe of the recogniser: the published one or an earlier one, then rendered lines, then real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from inference.reading.ocr import Ocr
from train_scripts.data.captions import read_texts
from train_scripts.data.dataset import read_split
from train_scripts.files import replacing
from train_scripts.pictures import check_pictures
from train_scripts.reader import labels, pretrained, render, text, train

__all__ = ["train_recognizer"]


def train_recognizer(
    memes: Path, published: Path, photos: Path, fonts: Sequence[Path], *, lines: int, out: Path
) -> str:
    """Trains on so many rendered lines, then on half as many with real ones among them, and writes the
    weights to ``out``. Returns what was done.

    Raises UserError, UserError, UnreadablePicturesError.
    """
    rows = read_split(memes, "train")
    captions = read_texts(photos)
    check_pictures(row.picture for row in rows)
    found = render.find_fonts(fonts)
    detector, network, characters = pretrained.load(published)
    recognizer = train.with_own_head(network, characters)
    with replacing(out) as part:  # a run that ends early leaves the weights there as they were
        train.save(part, detector, recognizer)
        pictures = [row.picture for row in rows]
        random.Random(1).shuffle(pictures)
        grounds = list(labels.empty_grounds(pictures, Ocr(part)))
        corpus = text.build_corpus([row.text for row in rows], captions)
        renderer = render.LineRenderer(1, corpus, found, grounds)
        recognizer = train.train(recognizer, train.batches(renderer, [], share=0.0, seed=1), lines=lines)
        train.save(part, detector, recognizer)
        real = list(labels.real_lines(rows, Ocr(part)))
        data = train.batches(renderer, real, share=0.4, seed=2)
        recognizer = train.train(recognizer, data, lines=lines // 2, rate=0.6)
        train.save(part, detector, recognizer)
    return f"{len(found)} fonts, {len(grounds)} grounds, {len(real)} real lines; written to {out}."
