"""COCO's captions (2014, 2017), VizWiz-Captions, which has the same form, and Karpathy's split files.

* COCO: `captions_train2017.json`: `images` (id, file_name) and `annotations` (image_id, caption).
* VizWiz: `train.json`, and on every annotation `is_rejected`, `is_precanned`.
* Karpathy: `dataset_coco.json`, `dataset_flickr30k.json`, `dataset_flickr8k.json`: `images`, each with
  filename, split and sentences (raw).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.common.errors import UserError
from train_scripts.data.files import json_document
from train_scripts.data.records import Items, Record, Refused, find_picture, split_name

__all__ = ["read_coco", "read_karpathy"]

QUALITY = "Quality issues are too severe to recognize visual content."
_SPLIT = re.compile(r"(?:^|[_-])(train|val|test|dev)(\d{4})?(?=\.|_|-|$)")


def read_coco(file: Path, pictures: Path, *, source: str, split: str | None = None) -> Items:
    """The captions of one annotation file; Karpathy's form is recognised.

    `split`: for files whose name does not tell it. VizWiz annotations that were rejected, or say only that
    the picture is too bad, are refused by that reason. Raises UserError, UserError.
    """
    document = json_document(file)
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list):
        raise UserError(f'{file} is no file of COCO captions (it has no "images"): give the captions\' file.')
    if "annotations" not in document and any(isinstance(one, dict) and "sentences" in one for one in images):
        yield from read_karpathy(file, document, pictures, source=source)
        return
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise UserError(
            f'{file} has no "annotations": it is a list of pictures without captions, give that with them.'
        )
    told = _SPLIT.search(file.name)
    part = split or (split_name(told[1]) if told else None)
    folders = [told[0].strip("_-"), told[1]] if told else []
    names = {
        one["id"]: one["file_name"]
        for one in images
        if isinstance(one, dict) and _is_id(one.get("id")) and isinstance(one.get("file_name"), str)
    }
    described = set()
    for number, one in enumerate(annotations, start=1):
        where = f"{file}, annotation {number}"
        if not isinstance(one, dict) or not _is_id(one.get("image_id")):
            yield Refused(where, "damaged row", f"{where}, is no object with an image_id.")
            continue
        name, text = names.get(one.get("image_id")), one.get("caption")
        described.add(one.get("image_id"))
        if name is None:
            yield Refused(where, "damaged row", f"{where}, is of a picture that {file} does not list.")
        elif one.get("is_rejected") or (isinstance(text, str) and text.strip() == QUALITY):
            yield Refused(where, "quality issues", f"{where}, says that {name} is too bad to be described.")
        elif not isinstance(text, str) or not text.strip():
            yield Refused(where, "no caption", f"{where}, has no caption for {name}.")
        else:
            found = find_picture(pictures, name, *(f"{folder}/{name}" for folder in folders))
            yield Record(where, name, found, None, source, text.strip(), part)
    for number, one in enumerate(images, start=1):
        where = f"{file}, image {number}"
        if not isinstance(one, dict) or not _is_id(one.get("id")) or one["id"] not in names:
            yield Refused(where, "damaged row", f"{where}, has no id or file_name.")
        elif one["id"] not in described:
            yield Refused(where, "no caption", f"{where}, {one['file_name']}, has no caption.")


def _is_id(value: object) -> bool:
    return isinstance(value, int | str)


def read_karpathy(file: Path, document: Mapping[str, Any], pictures: Path, *, source: str) -> Items:
    """The captions of a split file; `restval` is for training."""
    for number, one in enumerate(document["images"], start=1):
        where = f"{file}, image {number}"
        if not isinstance(one, dict) or not isinstance(one.get("filename"), str):
            yield Refused(where, "damaged row", f"{where}, has no filename.")
            continue
        name, folder = one["filename"], one.get("filepath")
        sentences = one.get("sentences")
        if not isinstance(sentences, list) or not sentences:
            yield Refused(where, "no caption", f"{where}, {name}, has no sentences.")
            continue
        found = find_picture(pictures, f"{folder}/{name}" if folder else "", name)
        for sentence in sentences:
            text = sentence.get("raw") if isinstance(sentence, dict) else None
            if isinstance(text, str) and text.strip():
                yield Record(where, name, found, None, source, text.strip(), split_name(one.get("split")))
            else:
                yield Refused(where, "no caption", f"{where}, {name}, has a sentence without text.")
