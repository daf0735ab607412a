"""Real lines with what they say: where a reading all but matches what a person quoted, he is right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image
from rapidfuzz import fuzz

from inference.reading.ocr import Ocr
from inference.reading.regions import cut_out
from inference.russian.lexicon import bare
from train_scripts.data.dataset import DataRow
from train_scripts.meme_small.quotes import is_translated, quoted_spans
from train_scripts.pictures import open_picture
from train_scripts.reader.text import clean

_ALIKE = 85  # rapidfuzz ratio from which a reading is what was quoted


def true_text(read: str, quote: Sequence[str]) -> str | None:
    """What a line says, from a reading and the words of the quotes; None where they do not match.

    Letters come from the quote, their case and the punctuation around the words from the reading.
    """
    words = read.split()
    own = [_plain(word) for word in words]
    best, place = 0.0, 0
    for start in range(len(quote) - len(words) + 1):
        window = [_plain(word) for word in quote[start : start + len(words)]]
        score = fuzz.ratio("".join(own), "".join(window))
        if score > best:
            best, place = score, start
    if not words or best < _ALIKE:
        return None
    corrected = []
    for word, plain, quoted in zip(words, own, quote[place : place + len(words)], strict=True):
        core = bare(word)
        if plain == _plain(quoted):
            corrected.append(word)
        elif not core or fuzz.ratio(plain, _plain(quoted)) < 50:
            return None
        else:
            start = word.index(core)
            corrected.append(word[:start] + _cased(bare(quoted), core) + word[start + len(core) :])
    return clean(" ".join(corrected)) or None


def _plain(word: str) -> str:
    return bare(word).lower().replace("ё", "е")


def _cased(word: str, like: str) -> str:
    if like.isupper() and (len(like) > 1 or len(word) == 1):
        return word.upper()
    return word.capitalize() if like[0].isupper() else word.lower()


def real_lines(references: Iterable[DataRow], ocr: Ocr) -> Iterator[tuple[Image.Image, str]]:
    """Pictures of lines, 48 pixels high, and what they say, of the references."""
    for row in references:
        quote = [word for span in quoted_spans(row.text) for word in clean(span.text).split() if bare(word)]
        if not quote or is_translated(row.text):
            continue
        image = open_picture(row.picture)
        regions = [region for region in ocr.detect(image) if not region.tall]
        read: dict[int, list[str]] = {}
        for word in ocr.recognize(image, regions):
            read.setdefault(word.line, []).append(word.text)
        for number, words in read.items():
            text = true_text(" ".join(words), quote)
            if text is not None:
                yield cut_out(image, regions[number]), text


def empty_grounds(pictures: Iterable[Path], ocr: Ocr, *, most: int = 350) -> Iterator[Image.Image]:
    """Parts of pictures on which nothing is written, at least 100 x 70 pixels."""
    found = 0
    for path in pictures:
        if found == most:
            return
        image = open_picture(path)
        boxes = [region.span(0, 1) for region in ocr.detect(image)]
        # The highest free band: captions stand above and below.
        edges = sorted({0, image.height, *(int(y) for box in boxes for y in (box[1], box[3]))})
        bands = [
            (low, high)
            for low, high in itertools.pairwise(edges)
            if not any(box[1] < high and box[3] > low for box in boxes)
        ]
        low, high = max(bands, key=lambda band: band[1] - band[0], default=(0, 0))
        if high - low >= 70 and image.width >= 100:
            found += 1
            yield image.crop((0, max(0, low), image.width, min(image.height, high)))
