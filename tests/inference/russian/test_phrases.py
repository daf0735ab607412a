"""What is left when words are taken out of a clause is still a clause."""

from __future__ import annotations

import pytest

from inference.russian.phrases import Pruner
from inference.tokenizers.slots import SPECIAL, UNK


def pruned(sentence: str, *bad: str) -> str:
    words = sentence.split()
    vocabulary = [*SPECIAL, *dict.fromkeys(word for word in words if word not in SPECIAL)]
    ids = [vocabulary.index(word) for word in words]
    unsupported = {vocabulary.index(word) for word in (*bad, UNK)}
    return " ".join(vocabulary[i] for i in Pruner(vocabulary, unknown=UNK)(ids, unsupported.__contains__))


@pytest.mark.parametrize(
    ("sentence", "bad", "left"),
    [
        ("кот сидит на окне", (), "кот сидит на окне"),
        # An attribute goes alone, a noun with its preposition and what hangs on it.
        ("мужчина в синей рубашке", ("синей",), "мужчина в рубашке"),
        ("мужчина в синей рубашке", ("рубашке",), "мужчина"),
        ("кот сидит на крыше дома", ("крыше",), "кот сидит"),
        ("кот сидит на крыше дома", ("дома",), "кот сидит на крыше"),
        # A verb goes with what it says, an object with its verb, a subject with the whole clause.
        ("мужчина держит кота", ("держит",), "мужчина"),
        ("мужчина держит кота", ("кота",), "мужчина"),
        ("мужчина держит кота", ("мужчина",), ""),
        # Rows: each of them for itself, but nothing hangs on what went.
        ("мужчина и женщина", ("женщина",), "мужчина"),
        ("мужчина и женщина", ("мужчина",), "женщина"),
        ("мужчина в шляпе и очках", ("шляпе",), "мужчина"),
        ("на фото кот , который смотрит на рыбу", ("кот",), "на фото"),
        ("на фото кот , который смотрит на рыбу", ("рыбу",), "на фото кот , который смотрит"),
        ("на фото кот , сидящий на окне", ("сидящий",), "на фото кот"),
        # An unknown word is taken for a noun.
        ("мужчина с <unk> в рубашке", (), "мужчина в рубашке"),
        ("мужчина держит <unk>", (), "мужчина"),
        # Nothing dangles at the end.
        ("кот сидит на", (), "кот сидит"),
        ("кот , который", (), "кот"),
    ],
)
def test_a_clause_without_some_of_its_words(sentence: str, bad: tuple[str, ...], left: str) -> None:
    assert pruned(sentence, *bad) == left


def test_a_subject_is_in_the_nominative_or_counted() -> None:
    vocabulary = ["кот", "на", "окне", "сидит", "лапа", "кота", "сторону", "два"]
    pruner = Pruner(vocabulary, unknown=UNK)
    assert pruner.has_subject([7, 5])
    assert not pruner.has_subject([1, 2, 6])
    assert pruner.has_subject([0, 3])
    assert pruner.has_subject([4, 5])
    assert not pruner.has_subject([3, 1, 2])
    assert not pruner.has_subject([])
