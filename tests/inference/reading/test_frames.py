"""Frames of drawn collages and comics are counted and found; a page of text has none."""

from __future__ import annotations

import random

import pytest
from PIL import Image, ImageDraw, ImageFilter

from inference.reading.frames import find_frames
from inference.reading.lines import TextLine
from tests.drawing import draw_meme, font


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Many-coloured and soft, as a photo is."""
    generator = random.Random(seed)
    small = Image.new("RGB", (9, 9))
    small.putdata([tuple(generator.randrange(20, 236) for _ in range(3)) for _ in range(81)])
    return small.resize((width, height), Image.Resampling.BICUBIC)


def collage(
    columns: int, rows: int, *, gap: int, colour: str = "white", size: tuple[int, int] = (300, 260)
) -> Image.Image:
    width, height = size
    image = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), colour)
    for row in range(rows):
        for column in range(columns):
            place = (gap + column * (width + gap), gap + row * (height + gap))
            image.paste(photo(width, height, 10 * row + column), place)
    return image


def test_a_photo_is_one_frame() -> None:
    assert find_frames(photo(640, 480, 1)) == ((0.0, 0.0, 1.0, 1.0),)
    assert len(find_frames(draw_meme("photo"))) == 1


@pytest.mark.parametrize("colour", ["white", "black", "#336699"])
@pytest.mark.parametrize(("columns", "rows"), [(1, 2), (2, 1), (2, 2), (1, 3), (3, 2)])
def test_a_collage_has_its_frames_row_by_row(columns: int, rows: int, colour: str) -> None:
    found = find_frames(collage(columns, rows, gap=12, colour=colour))
    assert len(found) == columns * rows
    for number, (left, top, right, bottom) in enumerate(found):
        row, column = divmod(number, columns)
        assert column / columns < (left + right) / 2 < (column + 1) / columns
        assert row / rows < (top + bottom) / 2 < (row + 1) / rows
        assert right - left == pytest.approx(1 / columns, abs=0.1)
        assert bottom - top == pytest.approx(1 / rows, abs=0.1)


@pytest.mark.parametrize("gap", [2, 3, 5])
@pytest.mark.parametrize("colour", ["white", "black"])
@pytest.mark.parametrize(("columns", "rows"), [(2, 2), (3, 3), (4, 5), (5, 4)])
def test_gutters_of_a_few_pixels_part_small_frames(columns: int, rows: int, colour: str, gap: int) -> None:
    assert len(find_frames(collage(columns, rows, gap=gap, colour=colour, size=(200, 180)))) == columns * rows


def person(draw: ImageDraw.ImageDraw, x: int, y: int, *, scale: int = 1) -> None:
    """A stick figure whose head is at a place."""
    draw.ellipse((x - 50 * scale, y - 50 * scale, x + 50 * scale, y + 50 * scale), outline="black", width=4)
    draw.line((x, y + 50 * scale, x, y + 140 * scale), fill="black", width=4)
    draw.line((x - 60 * scale, y + 80 * scale, x + 60 * scale, y + 80 * scale), fill="black", width=4)


@pytest.mark.parametrize("ground", ["white", "#a0d8ef"])
def test_panels_of_a_comic_are_parted_by_ruled_lines(ground: str) -> None:
    comic = Image.new("RGB", (800, 600), ground)
    draw = ImageDraw.Draw(comic)
    draw.line((400, 0, 400, 600), fill="black", width=5)
    draw.line((0, 300, 800, 300), fill="black", width=5)
    for x in (200, 600):
        for y in (90, 390):
            person(draw, x, y)
    assert len(find_frames(comic)) == 4


def written(image: Image.Image, place: tuple[int, int], text: str, size: int) -> TextLine:
    """Draws a line; how it would be read."""
    draw = ImageDraw.Draw(image)
    draw.text(place, text, fill="black", font=font(size))
    left, top, right, bottom = draw.textbbox(place, text, font=font(size))
    box = (left / image.width, top / image.height, right / image.width, bottom / image.height)
    return TextLine(text, box, 0.99, 0)


def test_a_drawing_on_a_plain_ground_is_one_frame_and_letters_are_none() -> None:
    image = Image.new("RGB", (800, 800), "white")
    lines = [written(image, (60, 40), "Шаг первый", 90)]
    assert find_frames(image, lines) == ()
    person(ImageDraw.Draw(image), 400, 300, scale=2)
    ((_, top, _, bottom),) = find_frames(image, lines)
    assert top > lines[0].box[3]  # the words stand above the drawing, not in it
    assert bottom == pytest.approx(580 / 800, abs=0.03)


def test_a_bar_full_of_large_letters_is_no_frame() -> None:
    image = Image.new("RGB", (800, 800), "white")
    image.paste(photo(800, 590, 5), (0, 210))
    lines = [written(image, (10, 0), "КОГДА АДМИН", 110), written(image, (10, 100), "ЗАБЫЛ СОН", 110)]
    ((_, top, _, _),) = find_frames(image, lines)
    assert top == pytest.approx(210 / 800, abs=0.02)


def test_a_chat_has_no_frames() -> None:
    chat = Image.new("RGB", (700, 900), "#d0e8d0")
    draw = ImageDraw.Draw(chat)
    lines = []
    for number in range(4):
        top = 40 + 210 * number
        draw.rounded_rectangle((30 + 80 * (number % 2), top, 600, top + 160), 24, fill="white")
        for row in range(3):
            lines.append(written(chat, (60 + 80 * (number % 2), top + 12 + 48 * row), "Сообщение о деле", 36))
    assert find_frames(chat, lines) == ()


@pytest.mark.parametrize("seed", range(4))
def test_an_even_sky_is_no_gutter(seed: int) -> None:
    """Rows of one colour that fade into the ground below them."""
    ground, sky = photo(800, 600, seed), Image.new("RGB", (800, 600), "#88aadd")
    ((_, _, _, bottom),) = find_frames(
        Image.composite(ground, sky, Image.linear_gradient("L").resize((800, 600)))
    )
    assert bottom == 1


def test_a_shadow_across_a_photo_is_no_gutter() -> None:
    """A band that is even, but begins and ends softly."""
    image = photo(800, 600, 8)
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rectangle((0, 270, 800, 330), fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(40)).point(lambda level: min(255, 3 * level))
    assert len(find_frames(Image.composite(Image.new("RGB", image.size, "#202020"), image, soft))) == 1


def test_frames_without_a_gutter_part_at_the_hard_edge() -> None:
    slope = Image.linear_gradient("L").rotate(45).crop((64, 64, 192, 192)).resize((400, 300))
    image = Image.new("RGB", (400, 600))
    image.paste(slope.point(lambda level: level // 2), (0, 0))
    image.paste(slope.point(lambda level: 128 + level // 2), (0, 300))
    upper, lower = find_frames(image)
    assert upper[3] == pytest.approx(0.5, abs=0.02)
    assert lower[1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("words", [1, 3, 12])
def test_a_page_of_text_has_no_frame(words: int) -> None:
    page = Image.new("RGB", (700, 900), "white")
    draw = ImageDraw.Draw(page)
    for number in range(words):
        draw.text((40, 30 + 70 * number), "Строка обычного текста", fill="black", font=font(42, bold=False))
    assert find_frames(page) == ()


@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_one_colour_has_no_frame(colour: str) -> None:
    assert find_frames(Image.new("RGB", (500, 400), colour)) == ()


def test_the_caption_bar_is_not_part_of_the_frame() -> None:
    meme = draw_meme("caption_bar")
    ((left, top, right, bottom),) = find_frames(meme)
    bar = 1 - 600 / meme.height
    assert top == pytest.approx(bar, abs=0.05)
    assert (left, right) == (0.0, 1.0)
    assert bottom == pytest.approx(1, abs=0.03)


def test_a_demotivator_has_one_frame_above_its_title() -> None:
    image = Image.new("RGB", (800, 800), "black")
    image.paste(photo(600, 450, 3), (100, 60))
    ImageDraw.Draw(image).text((400, 640), "ПОНЕДЕЛЬНИК", fill="white", font=font(60), anchor="mm")
    ((_, top, _, bottom),) = find_frames(image)
    assert (top, bottom) == pytest.approx((60 / 800, 510 / 800), abs=0.03)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (200, 150), (300, 8000)])
def test_any_size_is_looked_at(size: tuple[int, int]) -> None:
    for left, top, right, bottom in find_frames(photo(*size, seed=4)):
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
