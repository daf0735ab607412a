"""Drawn memes are really read: what was drawn comes back, in order, in blocks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rapidfuzz import fuzz
from safetensors.numpy import save_file

from inference.common.interruptions import interruptible
from inference.reading import reader as reader_module
from inference.reading.ctc import decode
from inference.reading.lines import TextLine
from inference.reading.ocr import WEIGHTS_FILE, Ocr, OcrUnavailableError
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from tests.drawing import draw_meme, font
from tests.inference import ctc


@pytest.fixture(scope="module")
def reader() -> Reader:
    found = Reader()
    assert found.available
    return found


def photo(width: int, height: int, *, seed: int = 1) -> Image.Image:
    """A blurred many-coloured ground, as a photo is, on which nothing is written."""
    generator = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(generator.randrange(30, 170) for _ in range(3)) for _ in range(64)])
    return small.resize((width, height), Image.Resampling.BICUBIC)


def outlined(image: Image.Image, text: str, *, top: float, size: int) -> Image.Image:
    """White letters with a black edge, centred, their middle at ``top`` of the height (0..1)."""
    ImageDraw.Draw(image).text(
        (image.width / 2, image.height * top),
        text,
        fill="white",
        font=font(size),
        anchor="mm",
        stroke_width=max(2, size // 10),
        stroke_fill="black",
    )
    return image


def blocks(lines: Sequence[TextLine]) -> list[str]:
    found: dict[int, list[str]] = {}
    for line in lines:
        found.setdefault(line.block, []).append(line.text)
    return [" ".join(found[number]) for number in sorted(found)]


def assert_reads(lines: Sequence[TextLine], expected: Sequence[str], *, least: float = 88) -> None:
    """The blocks are the expected ones in order, each all but letter for letter."""
    read = blocks(lines)
    assert len(read) == len(expected), read
    for own, drawn in zip(read, expected, strict=True):
        assert fuzz.ratio(own.lower(), drawn.lower()) >= least, (own, drawn)
    for line in lines:
        left, top, right, bottom = line.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert 0 <= line.confidence <= 1


@pytest.mark.parametrize(
    "words",
    ["КОГДА СКАЗАЛ, ЧТО ЛЯЖЕШЬ СПАТЬ ПОРАНЬШЕ", "Когда открыл холодильник в пятый раз за вечер"],
)
def test_russian_words_on_a_bar(reader: Reader, words: str) -> None:
    assert_reads(reader.read(draw_meme("caption_bar", words)).lines, [words])


def test_english_words_stay_english(reader: Reader) -> None:
    words = "when you open the fridge for the fifth time"
    assert_reads(reader.read(draw_meme("caption_bar", words)).lines, [words])


def test_the_place_of_the_words_is_where_they_were_drawn(reader: Reader) -> None:
    image = photo(600, 600)
    outlined(image, "ВЕРХНЯЯ НАДПИСЬ", top=0.1, size=48)
    outlined(image, "НИЖНЯЯ НАДПИСЬ", top=0.9, size=48)
    upper, lower = reader.read(image).lines
    assert upper.box[1] < 0.1 < upper.box[3]
    assert lower.box[1] < 0.9 < lower.box[3]


def test_white_outlined_letters_on_a_photo(reader: Reader) -> None:
    image = photo(700, 500)
    outlined(image, "ОДНИМ ПИВОМ СЫТ", top=0.12, size=54)
    outlined(image, "НЕ БУДЕШЬ НИКОГДА", top=0.88, size=54)
    assert_reads(reader.read(image).lines, ["ОДНИМ ПИВОМ СЫТ", "НЕ БУДЕШЬ НИКОГДА"])


def test_two_frames_are_two_blocks_from_the_top(reader: Reader) -> None:
    image = Image.new("RGB", (600, 820), "white")
    for number, words in enumerate(("СНАЧАЛА РАБОТА", "ПОТОМ УЖЕ СОН")):
        image.paste(outlined(photo(600, 400, seed=5 + number), words, top=0.85, size=50), (0, 420 * number))
    assert_reads(reader.read(image).lines, ["СНАЧАЛА РАБОТА", "ПОТОМ УЖЕ СОН"])


def test_four_frames_are_read_row_by_row(reader: Reader) -> None:
    words = ["ПЕРВЫЙ КАДР", "ВТОРОЙ КАДР", "ТРЕТИЙ КАДР", "ЧЕТВЁРТЫЙ КАДР"]
    image = Image.new("RGB", (1000, 720), "white")
    for number, own in enumerate(words):
        frame = outlined(photo(490, 350, seed=number), own, top=0.8, size=40)
        image.paste(frame, (number % 2 * 510, number // 2 * 370))
    assert_reads(reader.read(image).lines, words)


def test_a_tweet_is_its_text_and_knows_its_author(reader: Reader) -> None:
    lines = reader.read(draw_meme("tweet")).lines
    text = " ".join(line.text for line in lines)
    assert "Кот учёный" not in text
    assert "@" not in text
    assert text.index("доказали") < text.index("будильник")
    assert [line.author for line in lines] == ["kot_uchyony", *[""] * (len(lines) - 1)]
    body = next(line.block for line in lines if "доказали" in line.text)
    assert len([line for line in lines if line.block == body]) >= 2


def test_a_chat_is_read_message_by_message(reader: Reader) -> None:
    messages = ["Привет, ты дома?", "Нет, я на работе", "А кот почему на кухне?", "Он там живёт"]
    image = Image.new("RGB", (640, 520), (230, 235, 240))
    draw = ImageDraw.Draw(image)
    for number, message in enumerate(messages):
        left, top, colour = (20, 250)[number % 2], 20 + number * 120, ("white", "#dcf8c6")[number % 2]
        draw.rounded_rectangle((left, top, left + 370, top + 80), 16, fill=colour)
        face = font(26, bold=False)
        draw.text((left + 20, top + 40), message, fill="black", font=face, anchor="lm")
    assert_reads(reader.read(image).lines, messages)


def test_columns_are_read_one_after_the_other(reader: Reader) -> None:
    image = Image.new("RGB", (900, 300), "white")
    draw = ImageDraw.Draw(image)
    columns = ("МОЙ КОТ УТРОМ", "ПРОСИТ ЕДЫ", "И ВНИМАНИЯ"), ("МОЙ КОТ ДНЁМ", "ЛЕЖИТ НА", "КЛАВИАТУРЕ")
    for left, lines in zip((30, 520), columns, strict=True):
        for number, text in enumerate(lines):
            draw.text((left, 40 + 50 * number), text, fill="black", font=font(36))
    assert_reads(reader.read(image).lines, [" ".join(lines) for lines in columns])


@pytest.mark.parametrize("kind", ["drawn", "blurred", "black"])
def test_nothing_is_read_where_nothing_is_written(reader: Reader, kind: str) -> None:
    picture = {
        "drawn": lambda: draw_meme("photo"),
        "blurred": lambda: photo(600, 400),
        "black": lambda: Image.new("RGB", (400, 300)),
    }[kind]()
    found = reader.read(picture)
    assert found.lines == found.listed == ()


def test_a_picture_of_200_by_150_is_enlarged_until_it_can_be_read(reader: Reader) -> None:
    image = Image.new("RGB", (200, 150), "white")
    ImageDraw.Draw(image).text((100, 40), "КОТ ПРОСНУЛСЯ", fill="black", font=font(19), anchor="mm")
    image.paste(photo(200, 80), (0, 70))
    assert_reads(reader.read(image).lines, ["КОТ ПРОСНУЛСЯ"])


def test_a_strip_4000_pixels_high_is_read_from_end_to_end(reader: Reader) -> None:
    strip = Image.new("RGB", (400, 4000), "white")
    strip.paste(draw_meme("caption_bar", "Начало длинной истории", width=400), (0, 0))
    strip.paste(draw_meme("text_only", "КОНЕЦ ИСТОРИИ", width=400), (0, 3600))
    assert_reads(reader.read(strip).lines, ["Начало длинной истории", "КОНЕЦ ИСТОРИИ"])


@pytest.mark.parametrize("angle", [0, 4, 15, -30, 90, -90])
def test_rotated_words_are_read(reader: Reader, angle: int) -> None:
    turned = draw_meme("text_only", "ПОВЁРНУТЫЕ СЛОВА", width=400).rotate(
        angle, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC
    )
    read = " ".join(line.text for line in reader.read(turned).lines)
    # Which of two lines on their side comes first is open; each is read along its own direction.
    assert fuzz.token_sort_ratio(read.lower(), "повёрнутые слова") >= 85, read


def test_white_outlined_letters_on_a_busy_drawing(reader: Reader) -> None:
    generator = random.Random(4)
    image = photo(640, 480, seed=9)
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        ends = [(generator.randrange(640), generator.randrange(480)) for _ in range(2)]
        colour = tuple(generator.randrange(256) for _ in range(3))
        draw.line((*ends[0], *ends[1]), fill=colour, width=generator.randrange(1, 4))
    outlined(image, "МОЙ КОТ НОЧЬЮ", top=0.15, size=46)
    outlined(image, "РОНЯЕТ ВСЁ ПОДРЯД", top=0.85, size=46)
    assert_reads(reader.read(image).lines, ["МОЙ КОТ НОЧЬЮ", "РОНЯЕТ ВСЁ ПОДРЯД"])


def test_small_print_is_read(reader: Reader) -> None:
    image = Image.new("RGB", (700, 300), "white")
    draw = ImageDraw.Draw(image)
    words = "Совсем мелкие буквы под длинной картинкой"
    draw.text((40, 140), words, fill="black", font=font(13, bold=False))
    assert_reads(reader.read(image).lines, [words])


def test_three_languages_on_one_picture(reader: Reader) -> None:
    image = Image.new("RGB", (760, 420), "white")
    draw = ImageDraw.Draw(image)
    words = ["Доброе утро, любимый кот", "good morning my dear cat", "guten Morgen liebe Katze"]
    for number, text in enumerate(words):
        draw.text((380, 70 + 140 * number), text, fill="black", font=font(34), anchor="mm")
    assert_reads(reader.read(image).lines, words)


def test_twenty_frames_are_read_row_by_row(reader: Reader) -> None:
    image = Image.new("RGB", (1240, 1240), "white")
    words = ["КОТ", "ДОМ", "СОН", "ЧАЙ", "ЛЕС", "МИР", "СЫР", "НОС", "ДЕД", "РАК"] * 2
    for number, text in enumerate(words):
        frame = outlined(photo(240, 300, seed=number), text, top=0.8, size=44)
        image.paste(frame, (number % 5 * 250, number // 5 * 310))
    read = " ".join(line.text for line in reader.read(image).lines)
    assert fuzz.ratio(read.lower(), " ".join(words).lower()) >= 90, read


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (2, 3000), (11, 11), (100, 20_000)])
def test_slivers_and_extreme_shapes_are_no_error(reader: Reader, size: tuple[int, int]) -> None:
    assert reader.read(Image.new("RGB", size, "white")) == Reading(size)


def test_a_picture_leaves_nothing_behind_for_the_next(reader: Reader) -> None:
    meme = draw_meme("caption_bar", "Первая картинка")
    before = reader.read(meme).lines
    assert reader.read(Image.new("RGB", (400, 300), "white")) == Reading((400, 300))
    assert reader.read(meme).lines == before


def test_words_have_their_places_and_confidences() -> None:
    image = Image.new("RGB", (800, 200), "white")
    ImageDraw.Draw(image).text((400, 100), "ПРОСТЫЕ СЛОВА", fill="black", font=font(60), anchor="mm")
    first, last = Ocr().read(image)
    assert (first.text, last.text) == ("ПРОСТЫЕ", "СЛОВА")
    assert first.line == last.line
    assert 0.1 < first.box[0] < 0.3 < first.box[2] <= last.box[0] + 0.05
    assert 0.45 < last.box[0] < 0.7 < last.box[2] < 0.9
    for word in (first, last):
        assert 0.2 < word.box[1] < 0.45
        assert 0.55 < word.box[3] < 0.8
        assert 0.8 < word.confidence <= 1


@pytest.mark.parametrize("leading", [44, 52])
def test_a_short_word_above_one_that_begins_with_its_letter_is_read(reader: Reader, leading: int) -> None:
    image = Image.new("RGB", (700, 300), "white")
    for number, text in enumerate(("Как в расширяющейся", "вселенной я и ты", "ищем истину")):
        ImageDraw.Draw(image).text((60, 60 + leading * number), text, fill="black", font=font(40))
    assert " ".join(blocks(reader.read(image).listed)) == "Как в расширяющейся вселенной я и ты ищем истину"


ROWS = [f"строка номер {number} из многих" for number in range(10, 30)]


def draw_rows() -> Image.Image:
    image = Image.new("RGB", (640, 900), "white")
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(ROWS):
        draw.text((30, 20 + 43 * number), row, fill="black", font=font(24, bold=False))
    return image


def test_many_lines_are_each_read_once() -> None:
    found: dict[int, list[str]] = {}
    for word in Ocr().read(draw_rows()):
        found.setdefault(word.line, []).append(word.text)
    assert sorted(" ".join(words) for words in found.values()) == ROWS


def test_another_picture_may_be_read_between_two_lines_of_a_page(reader: Reader) -> None:
    page, meme = draw_rows(), draw_meme("caption_bar", "Первая картинка")
    alone, between = reader.read(page), []
    with interruptible(lambda: between.append(reader.read(meme))):
        assert reader.read(page) == alone
    assert len(between) >= len(ROWS) / 8  # a batch of lines at a time
    assert all(reading == reader.read(meme) for reading in between)


# --- where the weights are not whole


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_damaged_weights_mean_no_reading_and_one_sentence(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ocr.safetensors"
    if damage == "other":
        save_file({"detector.a": np.zeros(1)}, path, metadata={"characters": '["a"]'})
    elif damage != "missing":
        path.write_bytes(WEIGHTS_FILE.read_bytes()[: 100_000 if damage == "cut" else 0])
    with pytest.raises(OcrUnavailableError, match="install the program anew"):
        Ocr(path)
    monkeypatch.setattr(reader_module, "Ocr", partial(Ocr, path))
    blind = Reader()
    assert not blind.available
    meme = draw_meme("text_only")
    found = blind.read(meme)
    assert (found.size, found.words, found.lines, found.listed) == (meme.size, (), (), ())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "described without their words" in caplog.text


CHARACTERS = [*"абвгдеI-, "]


steps = partial(ctc.steps, CHARACTERS)


SPACE = {" ": 0.8}


@pytest.mark.parametrize(
    ("between", "text"),
    [
        ([SPACE, {"а": 0.24, "в": 0.02}, SPACE], "да а да"),  # a letter that lost its step to the blank
        ([SPACE, {"-": 0.09, " ": 0.12}, {}, SPACE], "да - да"),
        ([SPACE, {" ": 0.4, "I": 0.3}, SPACE], "да I да"),  # or to the spaces beside it
        ([SPACE, {"а": 0.01}, SPACE], "да  да"),  # nothing was there
        ([SPACE, {" ": 0.9, "а": 0.02}, SPACE], "да да"),
        ([{"а": 0.2}, SPACE], "да да"),  # a letter beside one space is no word of its own
    ],
)
def test_a_letter_alone_is_found_between_its_spaces(between: list[dict[str, float]], text: str) -> None:
    word = [{"д": 0.9}, {}, {"а": 0.9}]
    read, sure, places = decode(steps(*word, *between, *word), CHARACTERS)
    assert read == text
    assert len(sure) == len(places) == len(text)
    assert places == sorted(places)
    assert all(0 < probability <= 1 for probability in sure)


WORD = ({"д": 0.9}, {"а": 0.9})


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([{}, {"а": 0.2, "в": 0.05}, SPACE], [], "а да"),
        ([SPACE, {"а": 0.2}, SPACE], [], "а да"),
        ([], [SPACE, {"в": 0.2}, {}], "да "),  # the edge of something behind the line
        ([{}, {}, SPACE], [], " да"),
        ([{"а": 0.2}, {}, {}], [], "да"),  # no space: a speck at the edge
        ([], [{}, {"в": 0.2}, {}], "да"),
    ],
)
def test_a_letter_alone_is_found_where_a_line_begins(
    before: list[dict[str, float]], after: list[dict[str, float]], text: str
) -> None:
    read, sure, places = decode(steps(*before, *WORD, *after), CHARACTERS)
    assert read == text
    assert len(sure) == len(places) == len(text)
    assert places == sorted(places)


def test_a_letter_alone_is_as_sure_as_it_is_among_the_letters() -> None:
    _, sure, _ = decode(steps(SPACE, {"а": 0.2, "в": 0.05}, SPACE, *WORD), CHARACTERS)
    assert sure[0] == pytest.approx(0.8)


def test_no_line_is_nothing() -> None:
    assert decode(np.zeros((0, len(CHARACTERS) + 1), dtype=np.float32), CHARACTERS) == ("", [], [])
    assert decode(steps({}, SPACE, {"а": 0.2}, SPACE, {}), CHARACTERS)[0].strip() == ""
