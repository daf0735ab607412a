"""The three lengths of the shipped model's captions, of readings that were drawn up by hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest

from inference.captioners.meme_small.known import Gate, Known, View
from inference.captioners.meme_small.lengths import LENGTHS
from inference.captioners.meme_small.narration import Written
from inference.common.colours import Colour
from inference.common.places import Place, Region
from inference.common.types import Detail
from inference.pictures.colours import Palette
from inference.reading.geometry import Box
from inference.reading.lines import TextLine
from inference.russian.leads import parsed, signed
from inference.russian.sentences import Quotation, told
from tests.readings import reading_of

COLUMN = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
ROW = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
GRID = [(x, y, x + 0.5, y + 0.5) for y in (0.0, 0.5) for x in (0.0, 0.5)]
BELOW = [(0.0, 0.2, 1.0, 1.0)]
GREEN, WHITE, PALE = (
    Palette((Colour.GREEN,), False),
    Palette((Colour.WHITE, Colour.BLUE), False),
    Palette((), True),
)
COUNTED = Written(parsed(["мем", "из", "двух", "кадров", "."]), quotes=False)
PHOTO = Written(parsed(["фото", "."]), quotes=False, bare=True)
CAT, DOG, LAMP, HAND = ("кот", 0.9), ("собака", 0.8), ("лампа", 0.7), ("рука", 0.6)


def line(text: str, box: Box, block: int = 0) -> TextLine:
    return TextLine(text, box, 0.9, block)


def known(
    frames: Sequence[Box],
    lines: Sequence[TextLine] = (),
    *before: Written,
    seen: Sequence[tuple[str, float]] = (CAT,),
    by_frame: Sequence[dict[str, float]] = (),
    palettes: Sequence[Palette] = (),
    author: str = "",
) -> Known:
    """A picture whose decoder quoted each line, in its order, and wrote ``before`` before that."""
    reading = reading_of(lines, frames)
    quotes = [
        Written(
            signed(parsed(["подпись", ":", Quotation(one.text), "."]), author),
            quotes=True,
            place=one.place,
            box=one.box,
        )
        for one in reading.lines
    ]
    return Known(View(reading, [], [], palettes), [*before, *quotes], set(), seen, by_frame, Gate())


def said(detail: Detail, picture: Known) -> str:
    return told(LENGTHS[detail](picture))


TOP, LOW_LEFT = (0.1, 0.02, 0.9, 0.1), (0.02, 0.9, 0.2, 0.97)
TWO = known(
    COLUMN,
    [line("раз", (0.1, 0.05, 0.9, 0.1)), line("два", (0.7, 0.9, 0.95, 0.98), 1)],
    COUNTED,
    seen=[CAT, LAMP, HAND],
    by_frame=[{"кот": 0.9, "лампа": 0.7, "рука": 0.6}, {"кот": 0.0, "лампа": 0.1, "рука": 0.1}],
    palettes=[GREEN, WHITE],
)
FOUR = known(
    GRID,
    [line(f"слово {n}", (x + 0.1, y + 0.2, x + 0.4, y + 0.3), n) for n, (x, y, *_) in enumerate(GRID)],
    seen=[CAT, DOG],
    by_frame=[{"кот": 0.9, "собака": 0.8}] * 4,
    palettes=[GREEN, WHITE, GREEN, WHITE],
)
ABOVE = known(BELOW, [line("раз", TOP), line("два", (0.1, 0.11, 0.9, 0.18), 1)], PHOTO, palettes=[PALE])
EDGES = known(BELOW, [line("раз", TOP), line("два", LOW_LEFT, 1)], palettes=[GREEN])
ALONE = known(BELOW, seen=[CAT, DOG, LAMP], palettes=[GREEN])
ALONE_WORD = known([], [line("сам", TOP)], seen=[])
POST = known(BELOW, [line("раз", TOP), line("два", LOW_LEFT, 1)], author="kot", seen=[])


def test_a_short_caption_is_one_sentence_of_what_is_shown_and_one_of_words() -> None:
    assert said("short", TWO) == 'На двух кадрах кот. Написано: "раз", "два".'
    assert said("short", ABOVE) == 'Написано: "раз", "два". Ниже на фото кот.'
    assert said("short", EDGES) == 'На фото кот. Написано: "раз", "два".'
    assert said("short", ALONE) == "На фото кот и собака."
    assert said("short", known(BELOW, [line("раз", TOP)])) == 'Надпись сверху: "раз". Ниже на фото кот.'
    assert said("short", known(BELOW, seen=[LAMP, HAND])) == "На фото лампа."
    assert said("short", known(BELOW, seen=[HAND, ("смотреть", 0.1)])) == "На фото рука."
    assert said("short", known(COLUMN, [], COUNTED, seen=[])) == "Мем из двух кадров.", (
        "else nothing would be said"
    )
    assert said("short", known([], [line("раз", TOP)], seen=[])) == 'Подпись: "раз".'
    assert said("short", POST) == 'Твит пользователя kot: "раз", "два".'
    ours, theirs = POST.written, known(BELOW, [line("три", (0.1, 0.5, 0.9, 0.6))], author="pes").written
    assert said("short", replace(POST, written=[*ours, *theirs, *ALONE_WORD.written])) == (
        'Твит пользователя kot: "раз", "два"; твит пользователя pes: "три"; подпись: "сам".'
    )
    assert said("short", replace(POST, probable=[CAT])) == (
        'На фото кот. Твит пользователя kot: "раз", "два".'
    )


def test_lengths_do_not_gainsay_each_other_about_the_place() -> None:
    """A quotation of several lines begins above the middle, where its own middle stands."""
    high = [line("раз", (0.6, 0.25, 0.9, 0.35)), line("два", (0.6, 0.4, 0.9, 0.9))]
    quoted = Written(
        parsed(["подпись", ":", Quotation("раз два"), "."]),
        quotes=True,
        place=reading_of(high, BELOW).lines[0].place,
        box=(0.6, 0.25, 0.9, 0.9),
    )
    picture = known(BELOW, [], quoted, palettes=[PALE])
    assert said("usual", picture) == 'На фото кот. Надпись сверху: "раз два".'
    assert said("detailed", picture).endswith('Надпись сверху справа: "раз два".')


def test_a_detailed_caption_announces_once_what_stands_at_one_place() -> None:
    low = [line("раз", (0.1, 0.86, 0.4, 0.9)), line("два", (0.1, 0.92, 0.4, 0.96), 1)]
    # The usual one is told as people write it.
    assert said("usual", known(BELOW, low)) == 'На фото кот. Подпись снизу: "раз". Подпись: "два".'
    assert said("detailed", known(BELOW, low, palettes=[GREEN])) == (
        'На фото кот. Преобладает зелёный цвет. Подпись снизу слева: "раз", "два".'
    )
    apart = [low[0], line("два", (0.6, 0.92, 0.9, 0.96), 1)]
    assert said("detailed", known(BELOW, apart)) == (
        'На фото кот. Подпись снизу слева: "раз". Подпись снизу справа: "два".'
    )
    # What is announced otherwise, or says more than it quotes, is a sentence of its own.
    spelled: list[tuple[list[str | Quotation], str]] = [
        (["текст", ":", Quotation("б"), "."], 'Текст: "б".'),
        (["подпись", ":", Quotation("б"), ",", "кот", "."], 'Подпись: "б", кот.'),
    ]
    for pieces, text in spelled:
        other = Written(parsed(pieces), quotes=True, place=Place(Region.PAGE))
        page = known([], [line("а", TOP)], seen=[])
        assert said("detailed", replace(page, written=[*page.written, other])).endswith(
            f'Подпись: "а". {text}'
        )
    assert said("detailed", POST).endswith('Твит пользователя kot: "раз". Твит пользователя kot: "два".')


def test_a_detailed_caption_tells_the_layout_the_colours_and_the_exact_places() -> None:
    assert said("detailed", TWO) == (
        "Мем из двух кадров, один под другим. На первом кадре кот. Также видно лампу и руку. "
        'Преобладает зелёный цвет. Надпись сверху: "раз". На втором кадре преобладают белый и синий цвета. '
        'Подпись снизу справа: "два".'
    )
    assert said("detailed", known(ROW)) == "Мем из двух кадров, один рядом с другим. На кадрах кот."
    assert said("detailed", FOUR) == (
        "Мем из четырёх кадров в два ряда. На кадрах кот и собака. "
        'На первом кадре преобладает зелёный цвет. Подпись посередине: "слово 0". '
        'На втором кадре преобладают белый и синий цвета. Подпись посередине: "слово 1". '
        'На третьем кадре подпись посередине: "слово 2". На четвёртом кадре подпись посередине: "слово 3".'
    )
    assert said("detailed", EDGES) == (
        'Надпись сверху: "раз". Ниже на фото кот. Преобладает зелёный цвет. Подпись снизу слева: "два".'
    )
    assert said("detailed", ABOVE).endswith("Ниже на фото кот. Изображение чёрно-белое.")
    assert said("detailed", known([], [line("раз", TOP)], seen=[])).startswith("Текст на однотонном фоне.")


@pytest.mark.parametrize("detail", LENGTHS)
def test_no_length_says_anything_twice(detail: Detail) -> None:
    for picture in (TWO, FOUR, ABOVE, EDGES, ALONE):
        text = said(detail, picture)
        quoted = re.findall(r'"([^"]+)"', text)
        assert sorted(quoted) == sorted(one.text for one in picture.view.reading.lines), "each word once"
        sentences = re.findall(r'(?:"[^"]*"|[^".])+', text)
        assert max(Counter(map(str.strip, sentences)).values()) == 1, text


def test_the_lengths_grow() -> None:
    for one, other in combinations(LENGTHS, 2):
        for picture in (TWO, FOUR, ABOVE, EDGES, ALONE):
            assert len(said(one, picture)) <= len(said(other, picture)), (one, other)
