"""What the recogniser's training lines say."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from train_scripts.reader.text import CHARACTERS, Corpus, clean, in_belarusian, line_of_text


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(  # build_corpus goes through whole dictionaries, which takes a minute
        quotes=["Как я & мои планы"],
        descriptions=["Кот сидит"],
        captions=["Кот спит на окне."],
        russian=["кот", "молоко", "волк", "сказал"],
        ukrainian=["їжак", "кіт", "ґанок", "є"],
        english=["cat", "dog"],
        english_weights=[1.0, 2.0],
    )


@pytest.fixture(scope="module")
def lines(corpus: Corpus) -> list[str]:
    generator = random.Random(3)
    return [line_of_text(generator, corpus) for _ in range(12_000)]


def test_every_line_has_known_characters_and_a_bounded_length(lines: list[str]) -> None:
    assert all(0 < len(line) <= 60 and set(line) <= set(CHARACTERS) for line in lines)
    assert not any("{n}" in line or "{ru}" in line for line in lines)


def test_each_sign_and_letter_is_met_often_enough_to_be_learnt(lines: list[str]) -> None:
    met = Counter(character for line in lines for character in set(line))
    rare = {character for character in set("=&<>°+%#@/?№₽$€×іїєґўІЇЄ0123456789") if met[character] < 5}
    assert not rare


def test_numbers_and_letters_stand_alone_too(lines: list[str]) -> None:
    assert sum(line.isdigit() for line in lines) > 60
    assert sum(len(line) == 1 and line.isalpha() for line in lines) > 15


def test_the_same_seed_gives_the_same_lines(corpus: Corpus, lines: list[str]) -> None:
    generator = random.Random(3)
    assert [line_of_text(generator, corpus) for _ in range(50)] == lines[:50]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("п’ять", "п'ять"),
        ("п\u02bcять", "п'ять"),
        ("5 − 3 = 2", "5 - 3 = 2"),
        ("+5 ºC", "+5 °C"),
        ("“Ґанок”", '"Ґанок"'),
        ("Привет, 世界", "Привет, "),
        ("  a \n b ", "a b"),
    ],
)
def test_what_looks_the_same_is_written_the_same(text: str, known: str) -> None:
    assert clean(text) == known


@pytest.mark.parametrize(
    ("russian", "spelt"),
    [("щит", "шчіт"), ("волк", "воўк"), ("писать", "пісаць"), ("тихо", "ціхо"), ("сказал", "сказаў")],
)
def test_belarusian_spelling_has_its_letters_in_their_places(russian: str, spelt: str) -> None:
    assert in_belarusian(russian) == spelt
