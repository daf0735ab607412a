"""Numbers in words, and the words that they count."""

from __future__ import annotations

import pymorphy3
import pytest

from inference.russian.counting import cardinal, counted, genitive, ordinal, ordinal_lemmas, spellings
from inference.russian.lists import LISTS


@pytest.mark.parametrize(
    ("label", "count", "text"),
    [
        ("person", 1, "человек"),
        ("person", 2, "два человека"),
        ("person", 5, "пять человек"),
        ("person", 10, "десять человек"),
        ("person", 11, "больше десяти человек"),
        ("dog", 2, "две собаки"),
        ("dog", 4, "четыре собаки"),
        ("dog", 6, "шесть собак"),
        ("apple", 2, "два яблока"),
        ("fire hydrant", 2, "два пожарных гидранта"),
        ("fire hydrant", 7, "семь пожарных гидрантов"),
        ("tennis racket", 3, "три теннисные ракетки"),
        ("scissors", 1, "ножницы"),
        ("scissors", 3, "трое ножниц"),
        ("skis", 8, "восьмеро лыж"),
    ],
)
def test_things_are_counted_as_russian_counts_them(label: str, count: int, text: str) -> None:
    assert counted(LISTS.coco[label], count) == text


def test_the_forms_of_the_nouns_are_those_of_the_dictionary() -> None:
    """Checked against pymorphy3's dictionary for every noun of one word."""
    analyzer = pymorphy3.MorphAnalyzer(lang="ru")
    checked = 0
    for label, noun in LISTS.coco.items():
        if " " in noun.few or " " in noun.one or noun.gender == "p" or "-" in noun.one:
            continue
        parses = [p for p in analyzer.parse(noun.one) if "nomn" in p.tag and "sing" in p.tag]
        forms = [(p.inflect({"gent", "sing"}), p.inflect({"gent", "plur"}), p) for p in parses]
        # "человек" is counted by a form of its own, which the dictionary has as another one.
        many = {"человек"} if label == "person" else {plural.word for _, plural, _ in forms}
        assert noun.few in {single.word for single, _, _ in forms}, label
        assert noun.many in many, label
        genders = {"m": "masc", "f": "femn", "n": "neut"}
        assert genders[noun.gender] in {str(p.tag.gender) for _, _, p in forms}, label
        checked += 1
    assert checked > 50


def test_ordinals_have_their_cases_and_digits_where_the_list_ends() -> None:
    assert [ordinal(number, "nomn") for number in (1, 3, 4, 9, 10)] == (
        ["первый", "третий", "четвёртый", "девятый", "10-й"]
    )
    assert [ordinal(number, "loct") for number in (1, 3, 4, 9, 12)] == (
        ["первом", "третьем", "четвёртом", "девятом", "12-м"]
    )
    assert ordinal_lemmas()["четвертый"] == 4


def test_numbers_are_written_as_captions_write_them() -> None:
    assert (cardinal(2), cardinal(2, feminine=True), cardinal(11)) == ("два", "две", "11")
    assert [genitive(number) for number in (2, 3, 4, 9, 11)] == ["двух", "трёх", "четырёх", "девяти", "11"]
    assert spellings(2) == {"два", "две", "двух", "2"}
    assert spellings(3) == {"три", "трёх", "трех", "3"}
    assert spellings(5) == {"пять", "пяти", "5"}
