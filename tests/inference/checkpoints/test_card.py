"""What a model's card tells programs, and that those that ship tell it."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from inference.checkpoints.card import Card, Score
from inference.checkpoints.card_file import CARD_FILE, HEADLINES, front_matter, model_index, read_card
from inference.checkpoints.folder import is_checkpoint

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
SHIPPED = [folder.name for folder in sorted(CHECKPOINTS.iterdir()) if is_checkpoint(folder)]

CARD = """---
language: ru
description_ru: "Описывает мемы: по порядку."
model-index:
- name: small
  results:
  - task: {type: image-to-text}
    dataset: {type: memes, name: 5 memes}
    metrics:
    - {type: bleu4, name: BLEU-4, value: 0.5}
    - {type: chrf, value: 1}
  - task: {type: image-to-text}
    dataset: {type: memes, name: told of no words}
    metrics:
    - {type: bleu4, name: BLEU-4, value: 0.1}
---
# A small model

![A picture](x.png)

Describes memes in Russian,
and reads them.

Second paragraph.
"""


def card_of(folder: Path, text: str) -> Card:
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    return read_card(folder)


def test_a_card_tells_what_the_model_is_good_at_and_how_good(tmp_path: Path) -> None:
    assert card_of(tmp_path, CARD) == Card(
        "Describes memes in Russian, and reads them.",
        "Описывает мемы: по порядку.",
        (Score("bleu4", "BLEU-4", 0.5), Score("chrf", "chrf", 1.0)),
    )
    assert card_of(tmp_path, "# No front matter\n\nOne line.") == Card("One line.")
    assert card_of(tmp_path, "") == read_card(tmp_path / "nowhere") == Card()


@pytest.mark.parametrize(
    "header",
    [
        "description_ru: Описывает мемы: без кавычек.",
        "description_ru: [список]",
        "- just a list",
        "model-index: 0.5",
        "model-index: [{results: [{metrics: [{type: bleu4, value: .nan}]}]}]",
        "model-index: [{results: [{metrics: [{type: bleu4, value: high}]}]}]",
    ],
)
def test_front_matter_that_is_not_right_counts_as_none_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    assert card_of(tmp_path, f"---\n{header}\n---\nOne line.\n") == Card("One line.")
    assert f"The front matter of {tmp_path / CARD_FILE} is not right, mend it" in caplog.text


def test_what_a_program_writes_the_hub_and_we_read(tmp_path: Path) -> None:
    scores = [Score("chrf", "chrF", 0.4), Score("meteor", "METEOR", 0.47712), Score("bleu4", "BLEU-4", 0.3)]
    text = front_matter(
        {
            "description_ru": "Описывает: 'мемы'. " * 20,
            "model-index": model_index("own", scores, captioned="5 pictures"),
        }
    )
    card = card_of(tmp_path, f"{text}# own\n")
    assert card.description_ru == ("Описывает: 'мемы'. " * 20)
    assert card.scores == (Score("bleu4", "BLEU-4", 0.3), Score("meteor", "METEOR", 0.477))
    results = ModelCard.load(tmp_path / CARD_FILE).data.eval_results
    assert [(one.metric_type, one.metric_value) for one in results] == [("bleu4", 0.3), ("meteor", 0.477)]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_model_that_ships_says_what_it_is_good_at_and_its_scores(name: str) -> None:
    path = CHECKPOINTS / name / CARD_FILE
    card = read_card(path.parent)
    assert 0 < len(card.description) < 200
    assert 0 < len(card.description_ru) < 120
    assert tuple(score.key for score in card.scores) == HEADLINES
    rows = [line.split("|") for line in path.read_text("utf-8").splitlines() if line.startswith("| ")]
    told = {row[1].strip(" ↑↓"): row[2].strip() for row in rows}
    assert {one.name: f"{one.value:.3f}" for one in card.scores}.items() <= told.items()
    loaded = ModelCard.load(path).data
    assert (loaded.model_name, loaded.eval_results[0].dataset_type) == (name, "memes")
