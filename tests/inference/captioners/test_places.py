"""Where words stand is said."""

from __future__ import annotations

from inference.captioners.meme_small.places import frame_name, led, signed, unled
from inference.reading.places import PAGE, Place, Region

ABOVE, BELOW, TOP, BOTTOM = (
    Place(region) for region in (Region.ABOVE, Region.BELOW, Region.TOP, Region.BOTTOM)
)


def in_frame(number: int) -> Place:
    return Place(Region.FRAME, number, number)


def test_a_plain_lead_says_where() -> None:
    assert led('Подпись: "да".', ABOVE) == 'Надпись сверху: "да".'
    assert led('Подпись: "да".', BELOW) == 'Подпись снизу: "да".'
    assert led('Подпись: "да".', TOP) == 'Надпись сверху: "да".'
    assert led('Подпись: "да".', BOTTOM) == 'Подпись снизу: "да".'
    assert led('Подпись: "да".', in_frame(1)) == 'На втором кадре подпись: "да".'
    assert led('Подпись: "да".', in_frame(11)) == 'На 12-м кадре подпись: "да".'
    for nowhere in (None, PAGE, Place(Region.MIDDLE), Place(Region.BETWEEN)):
        assert led('Подпись: "да".', nowhere) == 'Подпись: "да".'
    assert led('Твит пользователя: "да".', ABOVE) == 'Твит пользователя: "да".'


def test_a_frame_that_was_just_spoken_of_is_not_named_again() -> None:
    assert frame_name(0) == "На первом кадре"
    assert unled('На первом кадре надпись: "да".', 0) == 'Надпись: "да".'
    assert unled('На первом кадре надпись: "да".', 1) == 'На первом кадре надпись: "да".'
    assert unled('Подпись: "да".', 0) == 'Подпись: "да".'


def test_a_caption_is_not_said_to_be_shown() -> None:
    assert led('На фотографии изображена подпись: "да".', None) == 'Подпись: "да".'
    assert led('На скриншоте подпись: "да".', BELOW) == 'Подпись снизу: "да".'
    assert led('На втором кадре подпись: "да".', in_frame(1)) == 'На втором кадре подпись: "да".'


def test_a_post_says_whose_it_is() -> None:
    assert signed('Твит пользователя: "да".', "kot_42") == 'Твит пользователя kot_42: "да".'
    assert signed('Текст на твиттера: "да".', "kot_42") == 'Твит пользователя kot_42: "да".'
    assert signed('Текст сверху: "да".', "kot_42") == 'Твит пользователя kot_42: "да".'
    assert signed('Текст сверху: "да".', "") == 'Текст сверху: "да".'
    assert signed('Кот говорит: "да".', "kot_42") == 'Кот говорит: "да".'
    assert signed('Постер: "да".', "kot_42") == 'Постер: "да".'
