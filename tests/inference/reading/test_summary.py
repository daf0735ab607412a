"""The one line that says what kind of picture it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.reading.lines import TextLine
from inference.reading.summary import summarise
from tests.drawing import draw_meme
from tests.readings import reading_on

PHOTO = draw_meme("photo", width=320)
BAR = draw_meme("caption_bar", width=320)
TWO = draw_meme("two_frames", width=320)
PAGE = draw_meme("text_only", width=320)


def at(middle: float, text: str = "Слова", block: int = 0) -> TextLine:
    return TextLine(text, (0.1, middle - 0.03, 0.9, middle + 0.03), 0.9, block)


@pytest.mark.parametrize(
    ("picture", "lines", "sentence"),
    [
        (PHOTO, [], "Картинка без надписей."),
        (PHOTO, [at(0.1)], "Картинка с надписью сверху."),
        (PHOTO, [at(0.5)], "Картинка с надписью посередине."),
        (PHOTO, [at(0.9)], "Картинка с надписью снизу."),
        (PHOTO, [at(0.1), at(0.9, block=1)], "Картинка с надписями сверху и снизу."),
        (
            PHOTO,
            [at(0.1), at(0.5, block=1), at(0.9, block=2)],
            "Картинка с надписями сверху, посередине и снизу.",
        ),
        (BAR, [at(0.1), at(0.17)], "Картинка с надписью сверху."),
        (PHOTO, [at(0.1, "when you sleep")], "Картинка с надписью сверху, надписи латиницей."),
        (PHOTO, [at(0.1, "OK, понял всё")], "Картинка с надписью сверху."),
        (TWO, [], "Мем из двух кадров без надписей."),
        (TWO, [at(0.4), at(0.9, block=1)], "Мем из двух кадров с надписями на кадрах."),
        (PAGE, [at(0.5)], "Текст на однотонном фоне."),
        (PAGE, [at(0.5, "nothing but plain English")], "Текст на однотонном фоне, латиницей."),
    ],
)
def test_summary(picture: Image.Image, lines: list[TextLine], sentence: str) -> None:
    assert summarise(reading_on(picture, lines)) == sentence


def test_where_nobody_could_read_the_absence_of_words_is_not_claimed() -> None:
    assert summarise(reading_on(PHOTO), looked=False) == "Картинка."
    assert summarise(reading_on(TWO), looked=False) == "Мем из двух кадров."


@settings(max_examples=40, deadline=None)
@given(
    middles=st.lists(st.floats(0.03, 0.97), max_size=5),
    picture=st.sampled_from([PHOTO, BAR, TWO, PAGE]),
    same=st.booleans(),
)
def test_it_is_always_one_clean_sentence(middles: list[float], picture: Image.Image, same: bool) -> None:
    lines = [at(middle, block=0 if same else number) for number, middle in enumerate(sorted(middles))]
    sentence = summarise(reading_on(picture, lines))
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert sentence.count(".") == 1
    assert "  " not in sentence
    assert ("без надписей" in sentence) == (not lines)


def test_a_post_is_called_one() -> None:
    post = [replace(at(0.5), author="kot"), at(0.6)]
    assert summarise(reading_on(PAGE, post)) == "Скриншот поста в соцсети."
    assert summarise(reading_on(PHOTO, post)) == "Скриншот поста в соцсети с картинкой."
    latin = [replace(at(0.5, "who did it again"), author="kot")]
    assert summarise(reading_on(PAGE, latin)) == "Скриншот поста в соцсети, текст латиницей."
    assert summarise(reading_on(TWO, post)).startswith("Мем из двух кадров")
