"""Russian sentences from what was found on a picture."""

from __future__ import annotations

import pytest

from inference.captioners.coco_objects.wording import Thing, compose
from inference.reading.geometry import Box
from inference.reading.inscriptions import inscriptions
from inference.reading.lines import TextLine
from tests.readings import reading_of

PHOTO: list[Box] = [(0, 0, 1, 1)]
UNDER_A_BAR: list[Box] = [(0, 0.2, 1, 1)]
COMIC: list[Box] = [(0, 0, 1, 0.5), (0, 0.5, 1, 1)]

LEFT: Box = (0.05, 0.2, 0.4, 0.9)
RIGHT: Box = (0.6, 0.2, 0.95, 0.9)
MIDDLE: Box = (0.42, 0.5, 0.58, 0.9)
WIDE: Box = (0.1, 0.1, 0.9, 0.95)


def thing(label: str, box: Box) -> Thing:
    return Thing(label, box, 0.9)


def line(text: str, top: float, block: int = 0) -> TextLine:
    return TextLine(text, (0.1, top, 0.9, top + 0.05), 0.9, block)


@pytest.mark.parametrize(
    ("things", "text"),
    [
        ([], "Знакомых предметов на картинке не видно."),
        ([thing("person", WIDE)], "На картинке: человек."),
        ([thing("person", LEFT)], "На картинке слева: человек."),
        ([thing("person", RIGHT)], "На картинке справа: человек."),
        (
            [thing("dog", RIGHT), thing("person", LEFT)],
            "На картинке слева направо: человек и собака.",
        ),
        (
            [thing("car", MIDDLE), thing("dog", RIGHT), thing("person", LEFT)],
            "На картинке слева направо: человек, машина и собака.",
        ),
        (
            [thing("cat", (0.1, 0.6, 0.9, 0.9)), thing("bird", (0.1, 0.1, 0.9, 0.4))],
            "На картинке сверху вниз: птица и кошка.",
        ),
        ([thing("cat", LEFT), thing("couch", WIDE)], "На картинке: диван и кошка."),
        (
            [thing("dog", LEFT), thing("person", WIDE), thing("dog", RIGHT)],
            "На картинке: человек и две собаки.",
        ),
        ([thing("N/A", WIDE), thing("dog", WIDE)], "На картинке: собака."),
    ],
)
def test_what_is_on_a_picture(things: list[Thing], text: str) -> None:
    assert compose(things, reading_of([], PHOTO)) == text


def test_a_long_list_names_the_largest_only() -> None:
    labels = ["person", "dog", "cat", "car", "bus", "chair", "fork", "spoon"]
    things = [thing(label, (0.0, 0.0, 1 - 0.1 * i, 1.0)) for i, label in enumerate(labels)]
    assert compose(things, reading_of([], PHOTO)) == (
        "На картинке: человек, собака, кошка, машина, автобус и стул."
    )  # fmt: skip


def test_words_are_quoted_with_their_places() -> None:
    lines = [line("КОГДА", 0.02), line("ПРИШЁЛ", 0.1), line("ДОМОЙ", 0.9, 1)]
    assert compose([thing("person", WIDE)], reading_of(lines, UNDER_A_BAR)) == (
        "На картинке: человек. Надпись сверху: «КОГДА ПРИШЁЛ». Надпись снизу: «ДОМОЙ»."
    )
    assert inscriptions(
        reading_of([line("РАЗ", 0.02), line("ДВА", 0.06, 1), line("ТРИ", 0.5, 2)], PHOTO)
    ) == ("Надписи сверху: «РАЗ», «ДВА». Надпись посередине: «ТРИ».")
    # A page of text has no picture that words could stand above.
    assert inscriptions(reading_of([line("ВСЁ", 0.1)], [])) == "Надпись: «ВСЁ»."
    assert inscriptions(reading_of([], PHOTO)) == ""


def test_quotation_marks_within_the_words_do_not_end_the_quotation() -> None:
    assert inscriptions(reading_of([line("ФИЛЬМ «ДЮНА» УЖЕ", 0.1), line("«»", 0.5, 1)], PHOTO)) == (
        "Надпись сверху: «ФИЛЬМ 'ДЮНА' УЖЕ»."
    )


def test_a_comic_is_told_frame_by_frame() -> None:
    things = [
        thing("dog", (0.6, 0.6, 0.9, 0.95)),
        thing("cat", (0.1, 0.6, 0.4, 0.95)),
        thing("person", (0.1, 0.05, 0.3, 0.4)),
    ]
    lines = [line("ДО", 0.3), line("ПОСЛЕ", 0.7, 1)]
    assert compose(things, reading_of(lines, COMIC)) == (
        "Первый кадр: человек. Второй кадр, слева направо: кошка и собака. "
        "Надпись на первом кадре: «ДО». Надпись на втором кадре: «ПОСЛЕ»."
    )
    assert compose(things[:2], reading_of([], COMIC)) == "Второй кадр, слева направо: кошка и собака."
    assert compose([], reading_of(lines[:1], COMIC)) == (
        "Знакомых предметов на картинке не видно. Надпись на первом кадре: «ДО»."
    )
