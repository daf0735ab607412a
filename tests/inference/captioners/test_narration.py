"""A caption follows the picture: words above, what it shows frame by frame, words below."""

from __future__ import annotations

from inference.captioners.meme_small.narration import Sentence, begins_below, narrate
from inference.reading.places import Place, Region

ABOVE = Place(Region.ABOVE, turn=-1)
BELOW = Place(Region.BELOW, turn=3)
TOP = Place(Region.TOP, 0)

INTRO = Sentence("Мем из двух кадров.", quotes=False)
PHOTO = Sentence("Фото.", quotes=False, bare=True)


def in_frame(number: int) -> Place:
    return Place(Region.FRAME, number, number)


def quote(text: str, place: Place | None = None) -> Sentence:
    return Sentence(f'Подпись: "{text}".', quotes=True, place=place)


def test_words_above_come_before_the_things_and_words_below_after_the_frames() -> None:
    sentences = [quote("а", ABOVE), quote("б", BELOW)]
    assert begins_below(sentences)
    assert narrate(sentences, "Ниже кот.", {0: "Тут стол.", 1: "Там окно."}) == (
        'Надпись сверху: "а". Ниже кот. Тут стол. Там окно. Подпись снизу: "б".'
    )


def test_a_frame_is_shown_before_the_words_on_it_and_named_once() -> None:
    sentences = [INTRO, quote("а", in_frame(0)), quote("б", in_frame(0)), quote("в", in_frame(1))]
    assert not begins_below(sentences)
    assert narrate(sentences, "", {0: "На первом кадре кот."}) == (
        'Мем из двух кадров. На первом кадре кот. Подпись: "а". Подпись: "б". На втором кадре подпись: "в".'
    )
    named = Sentence('На втором кадре надпись: "г".', quotes=True, place=in_frame(1))
    assert narrate([named], "", {1: "На втором кадре окно."}) == 'На втором кадре окно. Надпись: "г".'


def test_frames_without_words_are_told_in_their_order() -> None:
    scenes = {2: "На третьем кадре дом.", 0: "На первом кадре кот."}
    assert narrate([quote("а", in_frame(1))], "", scenes) == (
        'На первом кадре кот. На втором кадре подпись: "а". На третьем кадре дом.'
    )
    assert (
        narrate([], "На кадрах кот.", scenes) == "На кадрах кот. На первом кадре кот. На третьем кадре дом."
    )


def test_a_bare_sentence_stays_only_where_nothing_else_is_told() -> None:
    assert narrate([PHOTO, quote("а")], "На фото кот.", {}) == 'На фото кот. Подпись: "а".'
    assert narrate([PHOTO, quote("а")], "", {}) == 'Фото. Подпись: "а".'


def test_a_place_is_said_when_it_changes() -> None:
    assert narrate([quote("а", TOP), quote("б", TOP)], "На фото кот.", {}) == (
        'На фото кот. Надпись сверху: "а". Подпись: "б".'
    )
