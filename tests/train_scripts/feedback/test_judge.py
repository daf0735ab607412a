"""What counts as worse: beyond chance, and by any of the measures that somebody who listens would miss."""

from __future__ import annotations

import pytest

from train_scripts.feedback.judge import fallen, worse
from train_scripts.metrics.comparison import compare
from train_scripts.metrics.evaluator import evaluate

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


def test_a_loss_of_a_hundredth_is_none() -> None:
    """However certain it is."""
    scores = {
        key: dict(score)
        for key, score in compare(REFERENCES, REFERENCES, REFERENCES).to_dict()["scores"].items()
    }
    for high, titles in ((-0.004, []), (-0.006, ["METEOR"])):
        scores["meteor"] = {"better": "A", "a": 0.5, "low": -0.01, "high": high}
        assert worse(scores, "meteor") == titles


def test_what_chance_explains_is_not_worse() -> None:
    changed = {**REFERENCES, "0.jpg": "На фото собака."}
    scores = compare(REFERENCES, changed, REFERENCES).to_dict()["scores"]
    assert scores["content_recall"]["b"] < scores["content_recall"]["a"]
    assert worse(scores, "meteor") == []


def test_no_score_may_fall_below_its_interval() -> None:
    """The words in another order are a loss of nothing that is guarded, but BLEU sees it."""
    parent = {name: text.replace("На фото", "На снимке") for name, text in REFERENCES.items()}
    turned = {
        name: text.replace(f"{thing} и лодка", f"лодка и {thing}")
        for (name, text), thing in zip(parent.items(), THINGS * 3, strict=True)
    }
    compared = compare(parent, turned, REFERENCES)
    assert worse(compared.to_dict()["scores"], "content_recall") == []
    floors = {key: one.low for key, one in evaluate(parent, REFERENCES).estimates.items()}
    assert fallen(floors, {key: one.a for key, one in compared.differences.items()}) == []
    assert "BLEU-4" in fallen(floors, {key: one.b for key, one in compared.differences.items()})
    assert fallen({}, {}) == []
