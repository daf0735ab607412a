"""Blocks and reading order from boxes alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.reading.layout import arrange, by_frames
from inference.reading.lines import ReadLine, TextLine

SIZE = (1000, 1000)


def line(text: str, left: float, top: float, *, width: float = 300, height: float = 40) -> ReadLine:
    return ReadLine(text, (left, top, left + width, top + height), height, 0.9)


def order(*lines: ReadLine) -> list[tuple[str, int]]:
    return [(found.text, found.block) for found in arrange(lines, SIZE)]


def test_nothing_read_nothing_arranged() -> None:
    assert arrange([], SIZE) == []


def test_lines_under_one_another_are_one_block() -> None:
    assert order(line("третья", 100, 200), line("первая", 100, 100), line("вторая", 110, 150)) == [
        ("первая", 0),
        ("вторая", 0),
        ("третья", 0),
    ]


def test_space_or_another_size_of_letters_makes_another_block() -> None:
    assert order(line("сверху", 100, 50), line("снизу", 100, 900)) == [("сверху", 0), ("снизу", 1)]
    assert order(line("ЗАГОЛОВОК", 100, 50, height=90), line("мелко", 100, 160, height=30)) == [
        ("ЗАГОЛОВОК", 0),
        ("мелко", 1),
    ]


@pytest.mark.parametrize(
    ("above", "below", "read"),
    [
        ("с этой точки зре-", "ния всё ясно", ["с этой точки зрения", "всё ясно"]),
        ("КАК ТЫ СЕБЕ ПРЕД-", "СТАВЛЯЕШЬ?", ["КАК ТЫ СЕБЕ ПРЕДСТАВЛЯЕШЬ?"]),
        ("но во-", "первых, это", ["но во-первых,", "это"]),
        ("ей нужен тайм-", "менеджмент", ["ей нужен тайм-менеджмент"]),
        ("Он сказал -", "иди домой", ["Он сказал -", "иди домой"]),
        ("Я не мо-", "Что?", ["Я не мо-", "Что?"]),
        ("с 2019-", "го года", ["с 2019-", "го года"]),
    ],
)
def test_a_word_divided_between_two_lines_is_whole(above: str, below: str, read: list[str]) -> None:
    assert [text for text, _ in order(line(above, 100, 100), line(below, 100, 150))] == read


def test_a_line_whose_word_went_up_is_covered_by_the_line_above() -> None:
    (only,) = arrange([line("пред-", 100, 100), line("ставление", 100, 150)], SIZE)
    assert only.text == "представление"
    assert only.box == pytest.approx((0.1, 0.1, 0.4, 0.19))


def test_words_of_two_blocks_stay_apart() -> None:
    assert order(line("тайм-", 100, 50), line("менеджмент", 100, 900)) == [("тайм-", 0), ("менеджмент", 1)]


def test_boxes_are_shares_of_the_picture() -> None:
    (only,) = arrange([line("слово", 100, 200)], (1000, 400))
    assert only.box == pytest.approx((0.1, 0.5, 0.4, 0.6))
    assert only.confidence == 0.9


def test_pieces_of_one_printed_line_are_joined() -> None:
    left, right = line("Когда", 100, 100, width=120), line("спишь", 240, 102, width=120)
    (only,) = arrange([right, left], SIZE)
    assert only.text == "Когда спишь"
    assert only.box == pytest.approx((0.1, 0.1, 0.36, 0.142))


def test_the_confidence_of_a_joined_line_is_that_of_its_weakest_piece() -> None:
    weak = ReadLine("спишь", (240, 100, 360, 140), 40, 0.4)
    (only,) = arrange([line("Когда", 100, 100, width=120), weak], SIZE)
    assert only.confidence == 0.4


def test_frames_side_by_side_are_read_row_by_row() -> None:
    lines = [
        line("четвёртая", 600, 900),
        line("вторая", 600, 400),
        line("третья", 100, 900),
        line("первая", 100, 400),
    ]
    assert [text for text, _ in order(*lines)] == ["первая", "вторая", "третья", "четвёртая"]


def test_columns_of_text_are_read_one_after_the_other() -> None:
    left = [line(f"слева {i}", 50, 100 + 50 * i) for i in range(4)]
    right = [line(f"справа {i}", 600, 120 + 50 * i) for i in range(4)]
    assert order(*right, *left) == [(one.text, 0) for one in left] + [(one.text, 1) for one in right]


def test_a_title_over_two_columns_comes_first() -> None:
    title = line("Заголовок на всю ширину", 100, 20, width=800)
    assert [text for text, _ in order(line("право", 600, 300), line("лево", 100, 310), title)] == [
        title.text,
        "лево",
        "право",
    ]


@st.composite
def scattered(draw: st.DrawFn) -> list[ReadLine]:
    """Lines anywhere, of any size, overlapping as they like."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        left, top = draw(st.integers(0, 900)), draw(st.integers(0, 950))
        width, height = draw(st.integers(1, 1000 - left)), draw(st.integers(1, 1000 - top))
        found.append(line(f"w{number}", left, top, width=width, height=height))
    return found


@settings(max_examples=200, deadline=None)
@given(lines=scattered(), data=st.data())
def test_every_word_is_kept_once_and_blocks_are_counted_in_order(
    lines: list[ReadLine], data: st.DataObject
) -> None:
    arranged = arrange(lines, SIZE)
    words = [word for found in arranged for word in found.text.split()]
    assert sorted(words) == sorted(one.text for one in lines)
    numbers = [found.block for found in arranged]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(max(numbers) + 1))
    for found in arranged:
        assert 0 <= found.box[0] <= found.box[2] <= 1
        assert 0 <= found.box[1] <= found.box[3] <= 1


def test_lines_of_a_page_photographed_askew_stay_in_order() -> None:
    """Each line sinks by more than its own height, so that the boxes of three overlap."""
    slope = 0.15
    page = [
        ReadLine(f"строка {n}", (100, 100 + 50 * n, 700, 140 + 50 * n + slope * 600), 40, 0.9, slope)
        for n in range(8)
    ]
    found = arrange([page[n] for n in (3, 0, 7, 5, 1, 6, 2, 4)], SIZE)
    assert [one.text for one in found] == [one.text for one in page]
    assert {one.block for one in found} == {0}
    for one, drawn in zip(found, page, strict=True):
        assert one.box == pytest.approx(tuple(edge / 1000 for edge in drawn.box), abs=0.001)


def test_frames_are_read_one_after_the_other_and_part_blocks() -> None:
    """Two frames side by side, their words close together across the gutter and to a caption above."""
    boxes = [(0.0, 0.1, 0.5, 1.0), (0.5, 0.1, 1.0, 1.0)]
    lines = [
        TextLine("сверху", (0.1, 0.02, 0.9, 0.07), 0.9, 0),
        TextLine("правый верх", (0.6, 0.12, 0.9, 0.17), 0.9, 0),
        TextLine("левый низ", (0.1, 0.8, 0.4, 0.85), 0.9, 1),
        TextLine("правый низ", (0.6, 0.82, 0.9, 0.87), 0.9, 1),
    ]
    assert [(one.text, one.block) for one in by_frames(lines, boxes)] == [
        ("сверху", 0),
        ("левый низ", 1),
        ("правый верх", 2),
        ("правый низ", 3),
    ]
    assert [(one.text, one.block) for one in by_frames(lines, boxes[:1])] == [
        (one.text, one.block) for one in lines
    ]
    below = TextLine("снизу", (0.1, 0.96, 0.9, 0.99), 0.9, 0)
    frame = [(0.0, 0.1, 0.5, 0.9), (0.5, 0.1, 1.0, 0.9)]
    assert [one.text for one in by_frames([below, *lines[1:]], frame)][-1] == "снизу"
