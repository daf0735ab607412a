"""Lines are written as people write them."""

from __future__ import annotations

import pytest

from tests.inference.reading.printed import line, message


def test_alphabets_follow_the_picture() -> None:
    russian = line("КОГДА СПИШЬ HE ТАМ", left=0.1, top=0.4)
    assert [found.text for found in message(russian)] == ["КОГДА СПИШЬ НЕ ТАМ"]
    english = line("WHEN HE СOMES HOME", left=0.1, top=0.4)
    assert [found.text for found in message(english)] == ["WHEN HE COMES HOME"]
    mixed = line("WHAT'S YouR DREAM JoB", left=0.1, top=0.4)
    assert [found.text for found in message(mixed)] == ["WHAT'S YOUR DREAM JOB"]
    name = line("my old iPhone again", left=0.1, top=0.4)
    assert [found.text for found in message(name)] == ["my old iPhone again"]


@pytest.mark.parametrize(
    ("found", "read"),
    [
        ("КОГДА мОЙ КОТ НЕ иДЕТ", "КОГДА МОЙ КОТ НЕ ИДЕТ"),
        ("Когда Мой кот бежИт", "Когда Мой кот бежит"),
        ("Зимой мы едем в Нотр-Дам", "Зимой мы едем в Нотр-Дам"),
        ("WHAT's WRONG WITH oF", "WHAT'S WRONG WITH OF"),
        ("Кот очень жирный.Если спит", "Кот очень жирный. Если спит"),
        ("Смотри на сайт почта.рф сейчас", "Смотри на сайт почта.рф сейчас"),
        ("Ой,всё!Я ушла спать", "Ой, всё! Я ушла спать"),
    ],
)
def test_capitals_and_spaces_are_as_people_write_them(found: str, read: str) -> None:
    assert [one.text for one in message(line(found, left=0.1, top=0.4))] == [read]


def test_words_glued_at_a_comma_are_parted() -> None:
    (only,) = message(line("Если ты зайка,то тебя съедят", left=0.05, top=0.4))
    assert only.text == "Если ты зайка, то тебя съедят"
