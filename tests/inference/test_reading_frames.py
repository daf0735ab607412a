"""Frames of drawn collages are counted and found; a page of text has none."""

from __future__ import annotations

import random

import pytest
from PIL import Image, ImageDraw

from inference.reading.frames import frames
from tests.drawing import draw_meme, font


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Many-coloured and soft, as a photo is."""
    generator = random.Random(seed)
    small = Image.new("RGB", (9, 9))
    small.putdata([tuple(generator.randrange(20, 236) for _ in range(3)) for _ in range(81)])
    return small.resize((width, height), Image.Resampling.BICUBIC)


def collage(columns: int, rows: int, *, gap: int, colour: str = "white") -> Image.Image:
    width, height = 300, 260
    image = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), colour)
    for row in range(rows):
        for column in range(columns):
            place = (gap + column * (width + gap), gap + row * (height + gap))
            image.paste(photo(width, height, 10 * row + column), place)
    return image


def test_a_photo_is_one_frame() -> None:
    assert frames(photo(640, 480, 1)) == [(0.0, 0.0, 1.0, 1.0)]
    assert len(frames(draw_meme("photo"))) == 1


@pytest.mark.parametrize("colour", ["white", "black", "#336699"])
@pytest.mark.parametrize(("columns", "rows"), [(1, 2), (2, 1), (2, 2), (1, 3), (3, 2)])
def test_a_collage_has_its_frames_row_by_row(columns: int, rows: int, colour: str) -> None:
    found = frames(collage(columns, rows, gap=12, colour=colour))
    assert len(found) == columns * rows
    for number, (left, top, right, bottom) in enumerate(found):
        row, column = divmod(number, columns)
        assert column / columns < (left + right) / 2 < (column + 1) / columns
        assert row / rows < (top + bottom) / 2 < (row + 1) / rows
        assert right - left == pytest.approx(1 / columns, abs=0.1)
        assert bottom - top == pytest.approx(1 / rows, abs=0.1)


def test_frames_without_a_gutter_part_at_the_hard_edge() -> None:
    slope = Image.linear_gradient("L").rotate(45).crop((64, 64, 192, 192)).resize((400, 300))
    image = Image.new("RGB", (400, 600))
    image.paste(slope.point(lambda level: level // 2), (0, 0))
    image.paste(slope.point(lambda level: 128 + level // 2), (0, 300))
    upper, lower = frames(image)
    assert upper[3] == pytest.approx(0.5, abs=0.02)
    assert lower[1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("words", [1, 3, 12])
def test_a_page_of_text_has_no_frame(words: int) -> None:
    page = Image.new("RGB", (700, 900), "white")
    draw = ImageDraw.Draw(page)
    for number in range(words):
        draw.text((40, 30 + 70 * number), "Строка обычного текста", fill="black", font=font(42, bold=False))
    assert frames(page) == []


@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_one_colour_has_no_frame(colour: str) -> None:
    assert frames(Image.new("RGB", (500, 400), colour)) == []


def test_the_caption_bar_is_not_part_of_the_frame() -> None:
    meme = draw_meme("caption_bar")
    ((left, top, right, bottom),) = frames(meme)
    bar = 1 - 600 / meme.height
    assert top == pytest.approx(bar, abs=0.05)
    assert (left, right) == (0.0, 1.0)
    assert bottom == pytest.approx(1, abs=0.03)


def test_a_demotivator_has_one_frame_above_its_title() -> None:
    image = Image.new("RGB", (800, 800), "black")
    image.paste(photo(600, 450, 3), (100, 60))
    ImageDraw.Draw(image).text((400, 640), "ПОНЕДЕЛЬНИК", fill="white", font=font(60), anchor="mm")
    ((_, top, _, bottom),) = frames(image)
    assert (top, bottom) == pytest.approx((60 / 800, 510 / 800), abs=0.03)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (200, 150), (300, 8000)])
def test_any_size_is_looked_at(size: tuple[int, int]) -> None:
    for left, top, right, bottom in frames(photo(*size, seed=4)):
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
