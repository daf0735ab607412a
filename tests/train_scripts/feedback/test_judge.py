"""What counts as worse: beyond chance, and by any of the measures that somebody who listens would miss."""

from __future__ import annotations

import pytest

from train_scripts.feedback.judge import worse
from train_scripts.metrics.comparison import compare

THINGS = ("кот", "собака", "дом", "окно", "стол", "дерево", "машина", "река", "птица", "мост")
REFERENCES = {
    f"{number}.jpg": f'На фото {thing} и лодка. Подпись: "слово номер {number}".'
    for number, thing in enumerate(THINGS * 3)
}


@pytest.mark.parametrize(
    ("old", "new", "titles"),
    [
        ("Подпись", "Подпись", set()),
        (" и лодка", "", {"Content lemmas, recall"}),
        (" и лодка", " и лодка, слон", {"Content lemmas, precision"}),
        ('"слово номер', '"номер', {"Quoted words, recall"}),
        ('"слово номер', '"кто слово номер', {"Quoted words, precision"}),
        ("На фото", "На фото на фото на фото на фото", {"Phrase repeated outside quotes"}),
    ],
)
def test_each_loss_has_its_name(old: str, new: str, titles: set[str]) -> None:
    changed = {name: text.replace(old, new) for name, text in REFERENCES.items()}
    scores = compare(REFERENCES, changed, REFERENCES).to_dict()["scores"]
    assert set(worse(scores, "content_said")) == titles


def test_what_chance_explains_is_not_worse() -> None:
    changed = {**REFERENCES, "0.jpg": "На фото собака."}
    scores = compare(REFERENCES, changed, REFERENCES).to_dict()["scores"]
    assert scores["content_recall"]["b"] < scores["content_recall"]["a"]
    assert worse(scores, "meteor") == []
