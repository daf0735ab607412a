"""English words read get their meaning in Russian; the translation itself is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from inference.reading.foreign import in_russian, is_english
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from tests.readings import reading_of

MEANINGS = {
    "Hold on": "Подожди",
    "I got this": "Я справлюсь",
    "Hold on i got this": "Подожди, я справлюсь",
    "He said": 'Он сказал "нет"',
    "Home": "home",
    "Nothing": "",
}


def read(blocks: Sequence[str]) -> Reading:
    return reading_of([TextLine(text, (0, 0, 1, 1), 0.9, number) for number, text in enumerate(blocks)])


def translate(texts: Sequence[str]) -> list[str]:
    assert texts
    return [MEANINGS[text] for text in texts]


@pytest.mark.parametrize(
    ("text", "blocks", "expected"),
    [
        ('Подпись: "Hold on".', ["Hold on"], 'Подпись: "Hold on" (по-русски: "Подожди").'),
        ("Надпись: «Hold on».", ["Hold on"], 'Надпись: «Hold on» (по-русски: "Подожди").'),
        (
            'Сверху: "Hold on". Снизу: "I got this".',
            ["Hold on", "I got this"],
            'Сверху: "Hold on" (по-русски: "Подожди"). Снизу: "I got this" (по-русски: "Я справлюсь").',
        ),
        # Print in capitals is translated as a sentence.
        (
            'Подпись: "HOLD ON I GOT THIS".',
            ["HOLD ON I GOT THIS"],
            'Подпись: "HOLD ON I GOT THIS" (по-русски: "Подожди, я справлюсь").',
        ),
        # What is not quoted as one stands at the end.
        ("Мем с котом.", ["Hold on"], 'Мем с котом. По-русски: "Подожди".'),
        ("", ["Hold on"], 'По-русски: "Подожди".'),
        # Marks of a translation's own do not end it.
        ('Подпись: "He said".', ["He said"], 'Подпись: "He said" (по-русски: "Он сказал \'нет").'),
        # Nothing that says nothing.
        ('Подпись: "Home". "Nothing".', ["Home", "Nothing"], 'Подпись: "Home". "Nothing".'),
        # The same words twice are explained once.
        (
            'Подпись: "Hold on". Подпись: "Hold on".',
            ["Hold on", "Hold on"],
            'Подпись: "Hold on" (по-русски: "Подожди"). Подпись: "Hold on".',
        ),
    ],
)
def test_a_quotation_is_followed_by_its_meaning(text: str, blocks: list[str], expected: str) -> None:
    assert in_russian([text], [read(blocks)], translate) == [expected]


def test_each_picture_gets_its_own_and_nobody_is_asked_for_nothing() -> None:
    texts = ['"Hold on".', '"КОТ".', '"I got this".']
    found = in_russian(texts, [read(["Hold on"]), read(["КОТ"]), read(["I got this"])], translate)
    assert found == [
        '"Hold on" (по-русски: "Подожди").',
        '"КОТ".',
        '"I got this" (по-русски: "Я справлюсь").',
    ]
    assert in_russian(['"КОТ".', "Кот."], [read(["КОТ"]), read([])], translate) == ['"КОТ".', "Кот."]


def test_a_description_in_english_becomes_russian_and_quotations_alone_are_none() -> None:
    texts = ["a man on a board .", "Кот.", 'the cat says "мяу"', '"Hold on".', ""]

    def into_russian(said: Sequence[str]) -> list[str]:
        assert said == [texts[0], texts[2]]
        return ["Мужчина на доске.", "Кот говорит."]

    found = in_russian(texts, [read([])] * 5, into_russian)
    assert found == ["Мужчина на доске.", "Кот.", "Кот говорит.", '"Hold on".', ""]


@pytest.mark.parametrize(
    "block", ["Hold on", "HOW I LOOK AT 3 AM", "did you call me?", "Home", "it's Friday"]
)
def test_english(block: str) -> None:
    assert is_english(block)


@pytest.mark.parametrize(
    "block", ["КОТ", "кот сказал hello", "pspspsps", "nakeyjakey", "2024", "", "...", "☺"]
)
def test_russian_and_names_and_sounds_are_not(block: str) -> None:
    assert not is_english(block)
