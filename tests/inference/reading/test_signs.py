"""Signs, numbers, addresses and the letters of the neighbours are read as what they are."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from inference.reading.foreign import is_english
from inference.reading.reader import Reader
from tests.drawing import font


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def drawn(*lines: str, size: int = 40) -> Image.Image:
    """The lines one below the other, black on white."""
    face = font(size, bold=False)
    width = max(int(face.getlength(line)) for line in lines) + 4 * size
    image = Image.new("RGB", (max(width, 400), (len(lines) * 2 + 2) * size), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((2 * size, (1 + 2 * number) * size), line, font=face, fill="black")
    return image


@pytest.mark.parametrize(
    "text",
    [
        *["2+2=5", "8 - 5 = 3", "деньги = время", "x+1=3", "ОЖИДАНИЕ > РЕАЛЬНОСТЬ", "1 < 2"],
        *["Tom & Jerry", "Кот & Пёс", "R&B", "black & white"],
        *["<html>", "я <3 пельмени", "<пустое место>"],
        *["+25°C", "-40°C", "поворот на 360°", "за окном -30°"],
        *["?x=1&y=2", "https://kotiki.net", "kot_2000@gmail.com", "site.ru/?id=15"],
        *["1 299 ₽", "$19.99", "скидка 70%", "€20"],
        *["Привіт, як справи?", "я люблю їжу", "Єдиний шанс", "ґудзик і ґанок", "НІЧОГО НЕ РОЗУМІЮ"],
        *["воўк і заяц", "ўсё будзе добра"],
    ],
)
def test_a_line_with_signs_or_the_neighbours_letters_is_read(reader: Reader, text: str) -> None:
    assert [line.text for line in reader.read(drawn(text)).listed] == [text]


def test_ukrainian_is_not_called_english(reader: Reader) -> None:
    lines = reader.read(drawn("ПРИВІТ, ЯК СПРАВИ?", "ЇЖАК ІДЕ ДОДОМУ")).lines
    assert [line.text for line in lines] == ["ПРИВІТ, ЯК СПРАВИ?", "ЇЖАК ІДЕ ДОДОМУ"]
    assert not any(is_english(line.text) for line in lines)


def test_a_sum_among_words_keeps_its_signs(reader: Reader) -> None:
    found = reader.read(drawn("КОГДА УЧИТЕЛЬ СКАЗАЛ,", "ЧТО 2+2=4, А НЕ 2+2=5")).lines
    assert " ".join(line.text for line in found) == "КОГДА УЧИТЕЛЬ СКАЗАЛ, ЧТО 2+2=4, А НЕ 2+2=5"
