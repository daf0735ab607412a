"""A caption follows the picture: words above, what it shows frame by frame, words below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from inference.captioners.meme_small.narration import Written, begins_below, narrate
from inference.common.places import Place, Region
from inference.russian.leads import parsed, signed, truly_placed
from inference.russian.sentences import Quotation, Sentence, told

ABOVE = Place(Region.ABOVE, turn=-1)
BELOW = Place(Region.BELOW, turn=3)
TOP = Place(Region.TOP, 0)

INTRO = Written(parsed(["мем", "из", "двух", "кадров", "."]), quotes=False)
PHOTO = Written(parsed(["фото", "."]), quotes=False, bare=True)
CAT = Sentence("на фото", body=("кот",))


def in_frame(number: int) -> Place:
    return Place(Region.FRAME, number, number)


def quote(text: str, place: Place | None = None, lead: str = "подпись") -> Written:
    return Written(parsed([*lead.split(), ":", Quotation(text), "."]), quotes=True, place=place)


def narrated(
    written: Sequence[Written], things: Sequence[Sentence] = (), scenes: Mapping[int, Sentence] | None = None
) -> str:
    return told(narrate(written, things, {frame: [scene] for frame, scene in (scenes or {}).items()}))


def test_words_above_come_before_the_things_and_words_below_after_the_frames() -> None:
    written = [quote("а", ABOVE), quote("б", BELOW)]
    assert begins_below(written)
    scenes = {0: Sentence(body=("тут", "стол")), 1: Sentence(body=("там", "окно"))}
    assert narrated(written, [Sentence("ниже", body=("кот",))], scenes) == (
        'Надпись сверху: "а". Ниже кот. Тут стол. Там окно. Подпись снизу: "б".'
    )


def test_a_frame_is_shown_before_the_words_on_it_and_named_once() -> None:
    written = [INTRO, quote("а", in_frame(0)), quote("б", in_frame(0)), quote("в", in_frame(1))]
    assert not begins_below(written)
    assert narrated(written, scenes={0: Sentence("на первом кадре", body=("кот",))}) == (
        'Мем из двух кадров. На первом кадре кот. Подпись: "а". Подпись: "б". На втором кадре подпись: "в".'
    )
    named = quote("г", in_frame(1), "на втором кадре надпись")
    assert narrated([named], scenes={1: Sentence("на втором кадре", body=("окно",))}) == (
        'На втором кадре окно. Надпись: "г".'
    )


def test_frames_without_words_are_told_in_their_order() -> None:
    scenes = {
        2: Sentence("на третьем кадре", body=("дом",)),
        0: Sentence("на первом кадре", body=("кот",)),
    }
    assert narrated([quote("а", in_frame(1))], scenes=scenes) == (
        'На первом кадре кот. На втором кадре подпись: "а". На третьем кадре дом.'
    )
    assert narrated([], [Sentence("на кадрах", body=("кот",))], scenes) == (
        "На кадрах кот. На первом кадре кот. На третьем кадре дом."
    )


def test_a_bare_sentence_stays_only_where_nothing_else_is_told() -> None:
    assert narrated([PHOTO, quote("а")], [CAT]) == 'На фото кот. Подпись: "а".'
    assert narrated([PHOTO, quote("а")]) == 'Фото. Подпись: "а".'


def test_a_post_of_nobody_is_words_like_others() -> None:
    nobodys = Written(signed(parsed(["твит", "пользователя", ":", Quotation("б"), "."]), ""), quotes=True)
    assert narrated([nobodys]) == 'Подпись: "б".'


@pytest.mark.parametrize(
    ("lead", "region", "told"),
    [
        ("текст сверху", Region.ABOVE, "Текст сверху"),
        ("текст сверху", Region.TOP, "Текст сверху"),
        ("текст сверху", Region.BOTTOM, "Подпись снизу"),
        ("надпись снизу", Region.MIDDLE, "Подпись"),
        ("надпись снизу", Region.PAGE, "Надпись снизу"),  # there are no edges to judge by
        ("надпись слева", Region.BOTTOM, "Надпись слева"),
        ("кот снизу", Region.TOP, "Кот снизу"),  # it is not about the words
    ],
)
def test_no_quotation_is_said_to_stand_where_it_does_not(lead: str, region: Region, told: str) -> None:
    sentence = truly_placed(parsed([*lead.split(), ":", Quotation("а"), "."]), region)
    assert narrated([Written(sentence, quotes=True, place=Place(region))]) == f'{told}: "а".'


def test_a_place_is_said_when_it_changes() -> None:
    assert narrated([quote("а", TOP), quote("б", TOP)], [CAT]) == (
        'На фото кот. Надпись сверху: "а". Подпись: "б".'
    )
