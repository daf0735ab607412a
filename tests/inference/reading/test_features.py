"""What the decoder is told of lines and layout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.reading.features import (
    LAYOUT_FEATURES,
    LINE_FEATURES,
    MAX_LINES,
    layout_features,
    line_features,
)
from inference.reading.lines import TextLine
from tests.drawing import draw_meme
from tests.readings import reading_on

Floats = npt.NDArray[np.float32]
PICTURE = draw_meme("two_frames", width=320)
PHOTO = draw_meme("photo", width=320)
PAGE = draw_meme("text_only", width=320)


def line(text: str, top: float = 0.1, *, block: int = 0, left: float = 0.1) -> TextLine:
    return TextLine(text, (left, top, left + 0.5, top + 0.08), 0.9, block)


@st.composite
def lines(draw: st.DrawFn) -> list[TextLine]:
    found, block = [], 0
    for _ in range(draw(st.integers(1, 6))):
        left, top = draw(st.floats(0, 0.98)), draw(st.floats(0, 0.98))
        box = (left, top, draw(st.floats(left + 0.01, 1)), draw(st.floats(top + 0.01, 1)))
        text = draw(st.text(min_size=1, max_size=200).filter(str.strip))
        found.append(TextLine(text, box, draw(st.floats(0, 1)), block))
        block += draw(st.integers(0, 1))
    return found


@settings(max_examples=60, deadline=None)
@given(found=lines(), size=st.sampled_from([(320, 240), (1, 500), (500, 1), (17, 31)]))
def test_whatever_was_read_gives_finite_numbers_of_the_promised_shape(
    found: list[TextLine], size: tuple[int, int]
) -> None:
    image = PICTURE.resize(size)
    reading = reading_on(image, found)
    values, layout = line_features(reading, image), layout_features(reading, image)
    assert values.shape == (len(found), LINE_FEATURES)
    assert layout.shape == (LAYOUT_FEATURES,)
    for numbers in (values, layout):
        assert numbers.dtype == np.float32
        assert np.isfinite(numbers).all()
        assert np.abs(numbers).max() < 30


def seen(found: list[TextLine], image: Image.Image = PICTURE) -> Floats:
    return line_features(reading_on(image, found), image)


def laid_out(found: list[TextLine], image: Image.Image = PICTURE) -> Floats:
    return layout_features(reading_on(image, found), image)


def test_no_lines_no_rows() -> None:
    assert seen([]).shape == (0, LINE_FEATURES)
    assert np.isfinite(laid_out([])).all()


def test_lines_beyond_the_limit_are_cut() -> None:
    many = [line(f"строка {i}", 0.001 * i) for i in range(MAX_LINES + 9)]
    assert len(seen(many)) == MAX_LINES


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (line("когда"), line("КОГДА")),
        (line("когда"), line("when")),
        (line("когда"), line("когда:")),
        (line("когда"), line("@когда")),
        (line("когда"), line("когда", 0.7)),
        (line("когда"), line("когда", left=0.4)),
        (line("когда"), line("2024")),
        (line("когда"), line("когда-нибудь потом")),
    ],
    ids=lambda one: f"{one.text}-{one.box[0]}-{one.box[1]}",
)
def test_lines_that_look_different_are_told_apart(one: TextLine, other: TextLine) -> None:
    difference = np.abs(seen([one]) - seen([other]))
    assert difference.max() > 0.1


def test_first_and_last_of_a_block_and_the_frame_are_told() -> None:
    found = [line("раз", 0.1), line("два", 0.2), line("три", 0.8, block=1)]
    values = seen(found)
    # No two lines of one picture look the same to the decoder.
    for i in range(3):
        for j in range(i):
            assert np.abs(values[i] - values[j]).max() > 0.1
    assert not np.allclose(values[0], seen(found[:1])[0])  # the company counts


@pytest.mark.parametrize(("picture", "count"), [(PAGE, 0), (PHOTO, 1), (PICTURE, 2)])
def test_the_layout_says_how_many_frames_there_are(picture: Image.Image, count: int) -> None:
    one_hot = laid_out([], picture)[:7]
    assert one_hot.tolist() == [float(number == count) for number in range(7)]


def test_more_text_is_more_in_the_layout() -> None:
    little, much = [line("раз")], [line(f"много слов в строке {i}", 0.1 * i, block=i) for i in range(6)]
    change = laid_out(much) - laid_out(little)
    assert change.min() >= 0
    assert (change > 0.05).sum() >= 3


def panels() -> Image.Image:
    """A bar of text above two pictures with a gutter between them."""
    image = Image.new("RGB", (400, 500), "white")
    for number in range(2):
        tiles = Image.new("RGB", (8, 8))
        tiles.putdata(
            [(30 + 37 * n % 140, 30 + 91 * n % 140, 30 + 53 * (n + number) % 140) for n in range(1, 65)]
        )
        image.paste(tiles.resize((400, 200), Image.Resampling.BICUBIC), (0, 80 + 220 * number))
    return image


# fmt: off
LEARNT_LINES = [
    [0.1, 0.02, 0.9, 0.12, 0.5, 0.07, 0.8, 0.8, 1, 0.5493, 0.7324, 0.9, 0.625, 0.5, 0, 1, 0, 1, 0, 0,
     1, 1, 0.125, 0, 0.25, 0.375, 0, 1, 0, 0, -0.2231, 0, 0],
    [0.2, 0.3, 0.6, 0.36, 0.4, 0.33, 0.4, 0.48, 0.6, 0.6931, 0.7993, 0.7, 0, 0, 0.0769, 0, 0, 0, 0, 0.125,
     1, 0, 0.25, 0.0625, 0.25, 0.375, 0.36, 0.3847, 0.2276, 0.3737, -0.2231, 1, 0.25],
    [0.2, 0.37, 0.7, 0.43, 0.45, 0.4, 0.5, 0.48, 0.6, 0.6931, 0.7675, 0.8, 0, 1, 0, 0, 1, 0, 0, 0.125,
     0, 1, 0.25, 0.125, 0.25, 0.375, 0.02, 0.3795, 0.1147, 0.4791, -0.2231, 1, 0.25],
    [0.6, 0.56, 0.8, 0.6, 0.7, 0.58, 0.2, 0.32, 0.4, 0.5493, 0, 0.5, 0, 0, 0, 0, 1, 0, 1, 0.25,
     1, 1, 0.125, 0.1875, 0.25, 0.375, 0.26, 0.9398, 0.2545, 0.018, -0.2231, 0, 0],
]
LEARNT_LAYOUT = [0, 0, 1, 0, 0, 0, 0, 0.7958, 0.142, 0.7993, 0.4, 0.375, 0.3486, 0.6022, -0.2231, 1]
# fmt: on


def test_the_features_are_those_that_the_shipped_model_has_learnt() -> None:
    """Its weights know these numbers by their places: above the frames, in one, between them."""
    found = [
        TextLine("КОГДА @kot:", (0.1, 0.02, 0.9, 0.12), 0.9, 0, "kot"),
        TextLine("спишь 8 часов", (0.2, 0.3, 0.6, 0.36), 0.7, 1),
        TextLine("and wake up.", (0.2, 0.37, 0.7, 0.43), 0.8, 1),
        TextLine("- ...", (0.6, 0.56, 0.8, 0.6), 0.5, 2),
    ]
    image = panels()
    np.testing.assert_allclose(seen(found, image), LEARNT_LINES, atol=6e-5)
    np.testing.assert_allclose(laid_out(found, image), LEARNT_LAYOUT, atol=6e-5)
