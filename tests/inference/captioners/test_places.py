"""Where words stand."""

from __future__ import annotations

import pytest

from inference.captioners.meme_small.places import (
    ABOVE,
    BELOW,
    BOTTOM,
    TOP,
    frame_name,
    led,
    signed,
    unled,
    where,
)
from inference.common.types import TextLine

PHOTO = [(0.0, 0.2, 1.0, 0.8)]
STACK = [(0.0, 0.0, 1.0, 0.4), (0.0, 0.6, 1.0, 1.0)]
STRIP = [(0.0, 0.1, 0.5, 0.9), (0.5, 0.1, 1.0, 0.9)]


@pytest.mark.parametrize(
    ("box", "boxes", "place"),
    [
        ((0.1, 0.0, 0.9, 0.1), PHOTO, ABOVE),
        ((0.1, 0.85, 0.9, 0.95), PHOTO, BELOW),
        ((0.1, 0.4, 0.9, 0.5), PHOTO, None),
        ((0.1, 0.25, 0.9, 0.35), PHOTO, TOP),
        ((0.1, 0.7, 0.9, 0.78), PHOTO, BOTTOM),
        ((0.1, 0.4, 0.9, 0.5), [], None),
        ((0.1, 0.4, 0.4, 0.5), STRIP, 0),
        ((0.6, 0.4, 0.9, 0.5), STRIP, 1),
        ((0.1, 0.92, 0.9, 0.98), STRIP, BELOW),
        ((0.1, 0.38, 0.9, 0.46), STACK, 0),
        ((0.1, 0.44, 0.9, 0.56), STACK, None),
    ],
)
def test_words_stand_above_below_or_in_a_frame(
    box: tuple[float, float, float, float],
    boxes: list[tuple[float, float, float, float]],
    place: str | int | None,
) -> None:
    assert where(TextLine("слова", box, 0.9, 0), boxes) == place


def test_a_plain_lead_says_where() -> None:
    assert led('Подпись: "да".', ABOVE) == 'Надпись сверху: "да".'
    assert led('Подпись: "да".', BELOW) == 'Подпись снизу: "да".'
    assert led('Подпись: "да".', TOP) == 'Надпись сверху: "да".'
    assert led('Подпись: "да".', BOTTOM) == 'Подпись снизу: "да".'
    assert led('Подпись: "да".', 1) == 'На втором кадре подпись: "да".'
    assert led('Подпись: "да".', 11) == 'На 12-м кадре подпись: "да".'
    assert led('Подпись: "да".', None) == 'Подпись: "да".'
    assert led('Твит пользователя: "да".', ABOVE) == 'Твит пользователя: "да".'


def test_a_frame_that_was_just_spoken_of_is_not_named_again() -> None:
    assert frame_name(0) == "На первом кадре"
    assert unled('На первом кадре надпись: "да".', 0) == 'Надпись: "да".'
    assert unled('На первом кадре надпись: "да".', 1) == 'На первом кадре надпись: "да".'
    assert unled('Подпись: "да".', 0) == 'Подпись: "да".'


def test_a_caption_is_not_said_to_be_shown() -> None:
    assert led('На фотографии изображена подпись: "да".', None) == 'Подпись: "да".'
    assert led('На скриншоте подпись: "да".', BELOW) == 'Подпись снизу: "да".'
    assert led('На втором кадре подпись: "да".', 1) == 'На втором кадре подпись: "да".'


def test_a_post_says_whose_it_is() -> None:
    assert signed('Твит пользователя: "да".', "kot_42") == 'Твит пользователя kot_42: "да".'
    assert signed('Текст на твиттера: "да".', "kot_42") == 'Твит пользователя kot_42: "да".'
    assert signed('Текст сверху: "да".', "kot_42") == 'Твит пользователя kot_42: "да".'
    assert signed('Текст сверху: "да".', "") == 'Текст сверху: "да".'
    assert signed('Кот говорит: "да".', "kot_42") == 'Кот говорит: "да".'
    assert signed('Постер: "да".', "kot_42") == 'Постер: "да".'
