"""Small random files in the formats of what the published captioners were made from, on a web server."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
import torchvision
from PIL import Image

from tests.host import Host

TOP = "meme-captions-0123456789abcdef"  # as GitHub calls the folder in its archive
SUBJECTS = ("кот", "собака", "человек", "надпись", "рисунок", "дом")
VERBS = ("сидит", "смотрит", "держит телефон", 'говорит: "нет"')


def picture(number: int) -> bytes:
    """A JPEG that no perceptual hash takes for another one."""
    chance = random.Random(number)
    small = Image.new("RGB", (8, 8))
    small.putdata([(chance.randrange(256), chance.randrange(256), chance.randrange(256)) for _ in range(64)])
    file = io.BytesIO()
    small.resize((96, 96), Image.Resampling.NEAREST).save(file, "JPEG")
    return file.getvalue()


def caption(number: int) -> str:
    return f"{SUBJECTS[number % len(SUBJECTS)]} {VERBS[number % len(VERBS)]}, рядом {SUBJECTS[number % 5]}."


def meme_table(numbers: Iterable[int]) -> str:
    """As the meme project wrote it: quotation marks as they are, pictures without .jpg."""
    return "".join(["uid\ttext\n", *(f"{number}\t{caption(number)}\n" for number in numbers)])


def photo_table(numbers: Iterable[int]) -> str:
    """As pandas wrote it: cells with quotation marks in them are quoted."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    rows.writerows([("uid", "text"), *((number, caption(number)) for number in numbers)])
    return text.getvalue()


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


MEMES = {"train": range(12), "val": range(12, 15), "test": range(15, 19)}
PHOTOS = {"train": range(1000, 1008), "val": range(1008, 1010)}


def repository() -> bytes:
    """GitHub's archive of the meme project's repository."""
    files: dict[str, str | bytes] = {f"{TOP}/README.md": "# Мемы"}
    for split, numbers in MEMES.items():
        files[f"{TOP}/data/memes/{split}.csv"] = meme_table(numbers)
        files |= {f"{TOP}/data/memes/images/{number}.jpg": picture(number) for number in numbers}
    for split, numbers in PHOTOS.items():
        files[f"{TOP}/data/flickr/{split}.csv"] = photo_table(numbers)
        files[f"{TOP}/data/flickr/{split}_full.csv"] = photo_table(numbers)
    return packed(files)


def photos() -> bytes:
    """The pictures of Flickr30k as Kaggle packs them, with a folder in the folder."""
    inside = "flickr30k_images/flickr30k_images"
    numbers = [number for part in PHOTOS.values() for number in part]
    return packed({"flickr30k_images/results.csv": "", **{f"{inside}/{n}.jpg": picture(n) for n in numbers}})


def network(name: str) -> bytes:
    """Random weights of a network of torchvision's, as it hands them out."""
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save(torchvision.models.get_model(name, weights=None).state_dict(), file)
    return file.getvalue()


def serve(host: Host, folder: Path, entries: Mapping[str, Sequence[tuple[str, bytes]]]) -> Path:
    """Puts the files of each entry, by the names they get, on the host; the list of their addresses."""
    rows = []
    for name, files in entries.items():
        of_entry = []
        for file, data in files:
            host.files[f"/{name}/{file.split('-')[0]}"] = data
            address = f"{host.url}/{name}/{file.split('-')[0]}"
            of_entry.append({"url": address, "file": file, "sha256": hashlib.sha256(data).hexdigest()})
        rows.append({"name": name, "files": of_entry})
    path = folder / "addresses.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path
