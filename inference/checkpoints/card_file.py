"""A model's card, ``README.md``: what it says to people, and its front matter, which programs read.

The front matter is YAML between two lines of ``---``, as on the Hugging Face hub::

    description_ru: what the model is good at, one line in Russian
    talks: true where its captioner answers questions about pictures; of ours none does
    model-index:
    - name: NAME
      results:
      - task: {type: image-to-text}
        dataset: {type: memes, name: what was captioned, split: val}
        metrics:
        - {type: bleu4, name: BLEU-4, value: 0.323}

Of the index the first result counts, which is that of the model as it is served.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.checkpoints.card import Card, Score

CARD_FILE = "README.md"
HEADLINES = ("bleu4", "meteor", "content_precision", "quote_recall")  # the scores that a card's index names

logger = logging.getLogger(__name__)

_FENCE = "---"
_NO_PROSE = ("#", "!", "<", "|", "```")  # how a line begins that is no part of a paragraph


class _Metric(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    type: str
    name: str = ""
    value: float


class _Result(BaseModel):
    metrics: list[_Metric] = []


class _Entry(BaseModel):
    results: list[_Result] = []


class _FrontMatter(BaseModel):
    """What is read of it; cards of others have many keys besides."""

    description_ru: str = ""
    talks: bool = False
    index: list[_Entry] = Field(default=[], alias="model-index")

    @property
    def scores(self) -> tuple[Score, ...]:
        first = next((result for entry in self.index for result in entry.results), _Result())
        return tuple(Score(one.type, one.name or one.type, one.value) for one in first.metrics)


def read_card(folder: Path) -> Card:
    """The card in a checkpoint's folder. Front matter that is not right counts as none; the log says so."""
    path = folder / CARD_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return Card()
    header, lines = _parted(lines)
    try:
        told = _FrontMatter.model_validate(yaml.safe_load("\n".join(header)) or {})
    except (yaml.YAMLError, ValidationError) as error:
        logger.warning("The front matter of %s is not right, mend it: %s", path, " ".join(str(error).split()))
        told = _FrontMatter()
    return Card(_first_paragraph(lines), told.description_ru, told.scores, told.talks)


def _parted(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines of the front matter, and those behind it."""
    if not lines or lines[0].strip() != _FENCE:
        return [], lines
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), 0)
    return lines[1:end], lines[end + 1 :]


def _first_paragraph(lines: Iterable[str]) -> str:
    paragraph: list[str] = []
    for line in lines:
        text = line.strip()
        if text and not text.startswith(_NO_PROSE):
            paragraph.append(text)
        elif paragraph:
            break
    return " ".join(paragraph)


def front_matter(fields: Mapping[str, Any]) -> str:
    """The top of a card that a program writes, with the line break behind it."""
    told = yaml.safe_dump(dict(fields), allow_unicode=True, sort_keys=False, width=math.inf)
    return f"{_FENCE}\n{told}{_FENCE}\n"


def model_index(name: str, scores: Iterable[Score], *, captioned: str) -> list[dict[str, Any]]:
    """The hub's ``model-index`` of a model: of its scores those of :data:`HEADLINES`, in that order.

    ``captioned``: which pictures, for people.
    """
    found = {score.key: score for score in scores}
    metrics = [
        {"type": key, "name": found[key].name, "value": round(found[key].value, 3)}
        for key in HEADLINES
        if key in found
    ]
    result = {
        "task": {"type": "image-to-text"},
        "dataset": {"type": "memes", "name": captioned, "split": "val"},
        "metrics": metrics,
    }
    return [{"name": name, "results": [result]}]
