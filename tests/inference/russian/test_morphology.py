"""Forms of words."""

from __future__ import annotations

import pytest

from inference.russian.morphology import agreed, in_dictionary, inflected, lemma, parses, without_yo, written


def test_a_form_has_its_dictionary_form() -> None:
    assert lemma("Фотографии") == "фотография"
    assert lemma("ребёнка") == "ребенок"
    assert written("ребенок") == "ребёнок"
    assert without_yo("ёж в ёлке") == "еж в елке"
    assert "кот" in {form for _, form in parses("котами")}
    assert in_dictionary("котами")
    assert not in_dictionary("котмяу")


def test_a_dictionary_form_has_its_forms() -> None:
    assert inflected("рука", {"accs"}) == "руку"
    assert inflected("сидеть", {"VERB", "3per", "pres", "plur"}) == "сидят"
    with pytest.raises(ValueError, match="has no form"):
        inflected("кот", {"VERB"})


@pytest.mark.parametrize(
    ("participle", "noun", "form"),
    [
        ("изображен", "собака", "изображена"),
        ("изображён", "люди", "изображены"),
        ("изображена", "окно", "изображено"),
        ("видно", "собака", "видна"),
        ("видны", "кот", "виден"),
        # As it is where it agrees, with its ё or without; where no noun follows; where it is no such word.
        ("изображен", "кот", "изображен"),
        ("изображён", "кот", "изображён"),
        ("изображён", "белая", "изображён"),
        ("изображён", "собаку", "изображён"),
        ("сидит", "собака", "сидит"),
    ],
)
def test_a_participle_agrees_with_the_noun_behind_it(participle: str, noun: str, form: str) -> None:
    assert agreed(participle, noun) == form
