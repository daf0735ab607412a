"""Flickr8k and Flickr30k, with the Russian translation of their captions where there is one.

* `Flickr8k.token.txt`, `results_20130124.token`: `name.jpg#0<tab>caption`;
* `results.csv` of Flickr30k: `image_name| comment_number| comment`;
* `captions.txt`, as both are published as well: a CSV of `image,caption`, perhaps with `comment_number`;
* Russian captions: JSON lines or a CSV, whose rows name the picture (with or without `.jpg`), the text, and
  perhaps the number of the comment and the split;
* Karpathy's `dataset_flickr8k.json` and `dataset_flickr30k.json`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from inference.common.errors import UserError
from train_scripts.data.files import json_document, json_rows, table_rows, text_lines
from train_scripts.data.records import Item, Items, Record, Refused, find_picture, split_name
from train_scripts.data.sources.coco import read_karpathy

__all__ = ["read_flickr8k", "read_flickr30k"]

_NUMBERED = re.compile(r"(?P<name>[^#\t]+)#(?P<number>\d+)\t(?P<text>.*)")
_BARS = re.compile(r"(?P<name>[^|]+)\|\s*(?P<number>\d+)\s*\|(?P<text>.*)")
# One row of the original results.csv lacks its second bar.
_BAR = re.compile(r"(?P<name>[^|]+)\|\s*(?P<number>\d+)\s+(?P<text>[^|]*)")
_HEAD = re.compile(r"image(_name)?\s*[|,]")
_NAMES = ("image_id", "image_name", "image", "file_name", "filename")
_TEXTS = ("text", "caption", "comment", "translation")
_NUMBERS = ("comment_number", "comment_id", "sentid", "number")
_LISTS = {"train": "trainImages.txt", "val": "devImages.txt", "test": "testImages.txt"}


def _captions(file: Path) -> Iterator[tuple[str, str, int, str] | Refused]:
    """(where, picture, number of the comment, caption) of each line of a token file or results.csv."""
    for number, line in text_lines(file):
        where = f"{file}, line {number}"
        if number == 1 and _HEAD.match(line):
            if "|" not in line:
                yield from _of_table(file)
                return
            continue
        found = _NUMBERED.fullmatch(line) or _BARS.fullmatch(line) or _BAR.fullmatch(line)
        if found is None:
            yield Refused(where, "damaged row", f"{where}, is no picture, number and caption.")
        elif not found["text"].strip():
            yield Refused(where, "no caption", f"{where}, has no caption for {found['name'].strip()}.")
        else:
            yield where, found["name"].strip(), int(found["number"]), found["text"].strip()


def _of_table(file: Path) -> Iterator[tuple[str, str, int, str] | Refused]:
    """As `_captions`, of a CSV; where it does not number the comments, they are in their order."""
    counts: Counter[str] = Counter()
    for number, row in table_rows(file, separator=","):
        where = f"{file}, line {number}"
        name, text, comment = (_first(row, keys) for keys in (_NAMES, _TEXTS, _NUMBERS))
        if not name or None in row:
            yield Refused(where, "damaged row", f"{where}, is no picture, number and caption.")
        elif not text:
            yield Refused(where, "no caption", f"{where}, has no caption for {name}.")
        else:
            yield where, name, int(comment) if comment.isdecimal() else counts[name], text
            counts[name] += 1


def read_flickr8k(texts: Path, pictures: Path) -> Items:
    """`texts`: the folder with `Flickr8k.token.txt` (or `captions.txt`) and the lists
    `Flickr_8k.trainImages.txt`, `.devImages.txt`, `.testImages.txt`; pictures in none of the lists are
    refused. Without any list the pictures have no split. Raises UserError, UserError.
    """
    file = texts / "Flickr8k.token.txt"
    if not file.is_file() and (texts / "captions.txt").is_file():
        file = texts / "captions.txt"
    if not file.is_file():
        raise UserError(f"{file} is not there: give the folder of Flickr8k_text.")
    lists = {split: texts / f"Flickr_8k.{name}" for split, name in _LISTS.items()}
    splits = {name: split for split, path in lists.items() if path.is_file() for _, name in text_lines(path)}
    for found in _captions(file):
        if isinstance(found, Refused):
            yield found
            continue
        where, name, _, text = found
        if splits and name not in splits:
            yield Refused(
                where, "in no split", f"{where}, is of {name}, which none of the split lists names."
            )
        else:
            yield Record(where, name, find_picture(pictures, name), None, "flickr8k", text, splits.get(name))


def read_flickr30k(pictures: Path, english: Path | None, russian: Path | None) -> Items:
    """`english`: results.csv, a token file or Karpathy's JSON; `russian`: its translation; at least one.

    With both, each Russian caption gets the English one as its original where the numbers of the comments
    tell which it is, or else where a picture has as many of the one as of the other; English captions of
    pictures without a Russian one are left to be translated. Raises UserError, UserError.
    """
    if english is None and russian is None:
        raise UserError("Flickr30k needs captions: give --captions results.csv, --russian FILE, or both.")
    originals: dict[str, list[tuple[int, Record]]] = defaultdict(list)
    if english is not None:
        for item in _english(english, pictures):
            if isinstance(item, Refused):
                yield item
            else:
                of_picture = originals[item.name]
                of_picture.append((int(item.extra.get("number", len(of_picture))), item))
    translated = set()
    if russian is not None:
        rows: dict[str, list[tuple[int | None, Record]]] = defaultdict(list)
        for found in _russian(russian, pictures):
            if isinstance(found, Refused):
                yield found
            else:
                rows[found[1].name].append(found)
        for name, captions in rows.items():
            translated.add(name)
            yield from _paired(captions, originals.get(name, []))
    for name, captions_en in originals.items():
        if name not in translated:
            yield from (_without_number(record) for _, record in captions_en)


def _without_number(record: Record) -> Record:
    return Record(
        record.where, record.name, record.picture, record.text, record.source, record.original, record.split
    )


def _paired(
    captions: list[tuple[int | None, Record]], originals: list[tuple[int, Record]]
) -> Iterator[Record]:
    by_number = dict(originals)
    same = len(captions) == len(originals)
    for i, (number, one) in enumerate(captions):
        other = by_number.get(number) if number is not None else (originals[i][1] if same else None)
        split = one.split or (originals[0][1].split if originals else None)
        original = other.original if other is not None else None
        yield Record(one.where, one.name, one.picture, one.text, one.source, original, split)


def _english(file: Path, pictures: Path) -> Iterator[Item]:
    if file.suffix.lower() == ".json":
        document = json_document(file)
        if not isinstance(document, dict) or not isinstance(document.get("images"), list):
            raise UserError(
                f"{file} is no split file of Karpathy's: give results.csv or dataset_flickr30k.json."
            )
        yield from read_karpathy(file, document, pictures, source="flickr30k")
        return
    for found in _captions(file):
        if isinstance(found, Refused):
            yield found
        else:
            where, name, number, text = found
            place = find_picture(pictures, name)
            yield Record(where, name, place, None, "flickr30k", text, extra={"number": number})


def _russian(file: Path, pictures: Path) -> Iterator[tuple[int | None, Record] | Refused]:
    table = file.suffix.lower() in {".csv", ".tsv", ".txt"}
    for number, row in table_rows(file) if table else json_rows(file):
        where = f"{file}, line {number}"
        name, text = _first(row, _NAMES), _first(row, _TEXTS)
        if not name:
            yield Refused(where, "damaged row", f"{where}, names no picture ({', '.join(_NAMES)}).")
        elif not text:
            yield Refused(where, "no caption", f"{where}, has no text for {name}.")
        else:
            name = name if "." in name else f"{name}.jpg"
            comment = _first(row, _NUMBERS)
            record = Record(
                where,
                name,
                find_picture(pictures, name),
                text,
                "flickr30k",
                split=split_name(row.get("split")),
            )
            yield int(comment) if comment.isdecimal() else None, record


def _first(row: Mapping[str, object], keys: tuple[str, ...]) -> str:
    """The first of the columns that says something, as text."""
    return next((str(row[key]).strip() for key in keys if row.get(key) not in (None, "")), "")
