"""What announces a quotation says where the words stand and whose they are."""

from __future__ import annotations

import pytest

from inference.common.places import PAGE, Place, Region
from inference.russian.leads import led, parsed, signed, signed_in, unplaced
from inference.russian.sentences import Quotation, Sentence

ABOVE, BELOW, TOP, BOTTOM = (
    Place(region) for region in (Region.ABOVE, Region.BELOW, Region.TOP, Region.BOTTOM)
)


def in_frame(number: int) -> Place:
    return Place(Region.FRAME, number, number)


def said(words: str, quoted: str = "да") -> Sentence:
    """The sentence of some words with spaces between them, and a quotation behind."""
    return parsed([*words.split(), Quotation(quoted), "."])


def test_a_sentence_has_its_parts() -> None:
    quoted = Quotation("да")
    assert said("на втором кадре надпись сверху :") == (
        Sentence("на втором кадре", ("надпись", "сверху"), body=(quoted, "."))
    )
    assert said("кот говорит") == Sentence(body=("кот", "говорит", quoted, "."))
    assert parsed([quoted, "и", "подпись", ":", quoted]) == (
        Sentence(body=(quoted, "и", "подпись", ":", quoted))
    )
    # A frame that is the lead, or that something else is said of, is no place.
    assert said("на втором кадре :").lead == ("на", "втором", "кадре")
    assert said("на втором кадре , подпись :").place == ""
    # What announces nothing is no lead.
    assert parsed(["подпись", ":", Quotation(""), "."]) == Sentence(body=("подпись", "."))
    assert parsed(["подпись", ":"]) == Sentence(body=("подпись",))
    assert parsed([]) == Sentence()


def test_a_plain_lead_says_where() -> None:
    def stood(words: str, place: Place | None) -> str:
        return str(led(said(words), place))

    assert stood("подпись :", ABOVE) == 'Надпись сверху: "да".'
    assert stood("подпись :", BELOW) == 'Подпись снизу: "да".'
    assert stood("подпись :", TOP) == 'Надпись сверху: "да".'
    assert stood("подпись :", BOTTOM) == 'Подпись снизу: "да".'
    assert stood("подпись :", in_frame(1)) == 'На втором кадре подпись: "да".'
    assert stood("подпись :", in_frame(11)) == 'На 12-м кадре подпись: "да".'
    for nowhere in (None, PAGE, Place(Region.MIDDLE), Place(Region.BETWEEN)):
        assert stood("подпись :", nowhere) == 'Подпись: "да".'
    assert stood("твит пользователя :", ABOVE) == 'Твит пользователя: "да".'
    assert stood("на фото кот , подпись :", ABOVE) == 'На фото кот, подпись: "да".'


def test_a_caption_is_not_said_to_be_shown() -> None:
    assert str(led(said("на фотографии изображена подпись :"), None)) == 'Подпись: "да".'
    assert str(led(said("на картинке изображён белая подпись :"), None)) == 'Подпись: "да".'
    assert str(led(said("на скриншоте подпись :"), BELOW)) == 'Подпись снизу: "да".'
    assert str(led(said("на втором кадре подпись :"), in_frame(1))) == 'На втором кадре подпись: "да".'


def test_a_frame_that_was_just_spoken_of_is_not_named_again() -> None:
    assert str(unplaced(said("на первом кадре надпись :"), 0)) == 'Надпись: "да".'
    assert str(unplaced(said("на первом кадре надпись :"), 1)) == 'На первом кадре надпись: "да".'
    assert str(unplaced(said("подпись :"), 0)) == 'Подпись: "да".'


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("твит пользователя :", 'Твит пользователя kot_42: "да".'),
        ("твит :", 'Твит пользователя kot_42: "да".'),
        ("пост в вк :", 'Твит пользователя kot_42: "да".'),
        ("текст на твиттера :", 'Твит пользователя kot_42: "да".'),
        ("текст сверху :", 'Твит пользователя kot_42: "да".'),
        ("подпись :", 'Твит пользователя kot_42: "да".'),
        ("кот говорит :", 'Кот говорит: "да".'),
        ("постер :", 'Постер: "да".'),
        ("текст на окне :", 'Текст на окне: "да".'),
        ("на первом кадре твит :", 'На первом кадре твит: "да".'),
        ("твит", 'Твит "да".'),
    ],
)
def test_a_post_says_whose_it_is(words: str, text: str) -> None:
    assert str(signed(said(words), "kot_42")) == text


def test_a_post_of_nobody_stays_as_it_is() -> None:
    assert str(signed(said("текст сверху :"), "")) == 'Текст сверху: "да".'


def test_a_lead_that_says_whose_the_words_are_says_no_place() -> None:
    assert str(led(signed(said("подпись :"), "kot_42"), ABOVE)) == 'Твит пользователя kot_42: "да".'


def test_participles_agree_with_what_follows_but_not_in_quotations() -> None:
    assert str(parsed(["на", "фото", "изображен", "собака", "."])) == "На фото изображена собака."
    assert str(parsed(["изображен", "кот", "."])) == "Изображен кот."
    assert str(parsed(["изображен", ",", "собака", "."])) == "Изображен, собака."
    assert str(said("подпись :", "изображен собака")) == 'Подпись: "изображен собака".'
    assert str(said("изображен :")) == 'Изображен: "да".'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Твит пользователя @: "да".', 'Твит пользователя kot: "да".'),
        ('Ответ на твит пользователя Вася Пупкин : "да".', 'Ответ на твит пользователя kot : "да".'),
        ('Твит пользователя rinchen: "нет".', 'Твит: "нет".'),
        ("На фото скриншот твита пользователя @kirby. Ниже кот.", "На фото скриншот твита. Ниже кот."),
        ("твит пользователя, на котором кот", "твит, на котором кот"),
        ('Комментарий пользователя kirby: "нет".', 'Комментарий пользователя kirby: "нет".'),
        ('На фото кот. Подпись: "да".', 'На фото кот. Подпись: "да".'),
    ],
)
def test_a_post_in_a_text_has_the_account_that_is_known_or_none(text: str, expected: str) -> None:
    assert signed_in(text, lambda behind: "kot" if '"да"' in behind else "") == expected
