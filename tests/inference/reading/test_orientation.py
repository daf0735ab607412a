"""Lines that stand upside down are read the right way up; what cannot be read is no word."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from PIL import Image, ImageDraw, ImageOps

from inference.reading.orientation import (
    in_words,
    is_better,
    is_doubtful,
    is_upside_down,
    legible,
    turned_round,
)
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from inference.reading.words import Word
from tests.drawing import Kind, draw_meme, font


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def photo(width: int = 800, height: int = 600, *, seed: int = 3) -> Image.Image:
    generator = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(generator.randrange(30, 170) for _ in range(3)) for _ in range(64)])
    return small.resize((width, height), Image.Resampling.BICUBIC)


def drawn(*lines: str, on: Image.Image | None = None, size: int = 44) -> Image.Image:
    """The lines one below the other, dark on white, or white on a photo."""
    image = on or Image.new("RGB", (800, 110 * (len(lines) + 1)), "white")
    for number, text in enumerate(lines):
        ImageDraw.Draw(image).text(
            (image.width / 2, image.height * (number + 1) / (len(lines) + 1)),
            text,
            fill="black" if on is None else "white",
            font=font(size),
            anchor="mm",
        )
    return image


def upside_down(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_180)


def blocks(reading: Reading) -> list[str]:
    found: dict[int, list[str]] = {}
    for line in reading.listed:
        found.setdefault(line.block, []).append(line.text)
    return [" ".join(found[number]) for number in sorted(found)]


# --- on pictures


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (drawn("КОГДА ПРОСПАЛ РАБОТУ"), "КОГДА ПРОСПАЛ РАБОТУ"),
        (drawn("ПОНЕДЕЛЬНИК", on=photo()), "ПОНЕДЕЛЬНИК"),
        (drawn("Одним пивом сыт", "не будешь никогда", on=photo()), "Одним пивом сыт не будешь никогда"),
        (
            drawn("Пришёл домой", "Сел на диван", "Кот уже там", "Он смотрит на меня", "Я ему мешаю"),
            "Пришёл домой Сел на диван Кот уже там Он смотрит на меня Я ему мешаю",
        ),
        (
            drawn("when you open the fridge", "for the fifth time"),
            "when you open the fridge for the fifth time",
        ),
        (drawn("Хрюндель Кузякин"), "Хрюндель Кузякин"),
        (drawn("Звоните скорее!", "8 (800) 555-35-35"), "Звоните скорее! 8 (800) 555-35-35"),
    ],
    ids=["one line", "one word on a photo", "two lines", "five lines", "Latin", "a name", "a telephone"],
)
def test_a_picture_upside_down_is_read_as_the_right_way_up(
    reader: Reader, image: Image.Image, words: str
) -> None:
    upright, turned = reader.read(image), reader.read(upside_down(image))
    assert (upright.upside_down, turned.upside_down) == (False, True)
    assert " ".join(blocks(turned)).lower() == " ".join(blocks(upright)).lower() == words.lower()
    assert turned.unread == upright.unread == 0
    # The places are those on the picture turned: what stood above stands above.
    for own, other in zip(turned.listed, upright.listed, strict=True):
        assert own.box == pytest.approx(other.box, abs=0.03)


@pytest.mark.parametrize("text", ["1998", "23:45", "47 + 35"])
def test_numbers_upside_down_are_read(reader: Reader, text: str) -> None:
    assert blocks(reader.read(drawn(text, size=90))) == [text]
    assert blocks(reader.read(upside_down(drawn(text, size=90)))) == [text]


@pytest.mark.parametrize("text", ["69", "SOS", "ШОШ", "8", "0,0"])
def test_what_reads_the_same_either_way_is_left_as_it_stands(reader: Reader, text: str) -> None:
    for image in (drawn(text, size=90), upside_down(drawn(text, size=90))):
        assert not reader.read(image).upside_down


@pytest.mark.parametrize("kind", ["caption_bar", "two_frames", "tweet"])
def test_a_whole_meme_upside_down_has_its_order_and_its_author(reader: Reader, kind: Kind) -> None:
    meme = draw_meme(kind)
    upright, turned = reader.read(meme), reader.read(upside_down(meme))
    assert turned.upside_down
    assert [line.text for line in turned.lines] == [line.text for line in upright.lines]
    assert [line.author for line in turned.lines] == [line.author for line in upright.lines]


def test_a_table_upside_down_is_read_row_by_row(reader: Reader) -> None:
    image = Image.new("RGB", (800, 400), "white")
    for row, cells in enumerate((("Имя", "Балл"), ("Анна", "57"), ("Борис", "48"), ("Вера", "39"))):
        for x, text in zip((160, 560), cells, strict=True):
            ImageDraw.Draw(image).text((x, 60 + 80 * row), text, fill="black", font=font(36), anchor="mm")
    assert blocks(reader.read(upside_down(image))) == ["Имя Балл", "Анна 57", "Борис 48", "Вера 39"]


def test_an_answer_printed_upside_down_is_read_where_it_stands(reader: Reader) -> None:
    image = Image.new("RGB", (800, 600), "white")
    image.paste(drawn("Сколько лап у кота?", "Подумай хорошенько", on=None).crop((0, 30, 800, 300)), (0, 0))
    answer = Image.new("RGB", (800, 200), "white")
    for number, text in enumerate(("Ответ: четыре лапы", "и один хвост")):
        ImageDraw.Draw(answer).text((400, 60 + 60 * number), text, fill="black", font=font(36), anchor="mm")
    image.paste(upside_down(answer), (0, 390))
    found = reader.read(image)
    assert not found.upside_down
    assert " ".join(blocks(found)) == (
        "Сколько лап у кота? Подумай хорошенько Ответ: четыре лапы и один хвост"
    )
    assert found.listed[-1].box[1] > 0.6


MIRRORED = [
    drawn("КОГДА ПРОСПАЛ РАБОТУ"),
    drawn("Одним пивом сыт", "не будешь никогда", on=photo()),
    drawn("when you open the fridge", "for the fifth time"),
    draw_meme("caption_bar"),
    draw_meme("tweet"),
]


@pytest.mark.parametrize("image", MIRRORED)
def test_mirrored_words_are_told_to_be_unread(reader: Reader, image: Image.Image) -> None:
    found = reader.read(ImageOps.mirror(image))
    assert found.unread >= 0.7
    assert found.listed == found.lines == ()


@pytest.mark.parametrize(
    "text", ["Καλημέρα αγαπημένη γάτα", "დილა მშვიდობისა კატა", "Բարի լույս սիրելի կատու"]
)
def test_other_scripts_are_told_to_be_unread(reader: Reader, text: str) -> None:
    found = reader.read(drawn(text))
    assert found.unread >= 0.7
    assert found.listed == ()


@pytest.mark.parametrize(
    "text", ["Хрюндель Кузякин", "ЖКХ МВД ГИБДД", "кринжовый чилл на вайбе", "guten Morgen", "АХАХАХАХАХ"]
)
def test_names_slang_and_other_languages_are_read(reader: Reader, text: str) -> None:
    found = reader.read(drawn(text))
    assert not found.upside_down
    assert found.unread == 0
    assert blocks(found) == [text]


@pytest.mark.parametrize("angle", [90, -90])
def test_words_on_their_side_are_read_in_their_order(reader: Reader, angle: int) -> None:
    image = drawn("КОГДА ПРОСПАЛ РАБОТУ").rotate(angle, expand=True, fillcolor="white")
    assert blocks(reader.read(image)) == ["КОГДА ПРОСПАЛ РАБОТУ"]


# --- by what was read


def sure(text: str, own: float) -> tuple[str, Sequence[float]]:
    return text, [own] * len(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Кот уже там", 1.0),
        ("yowou uэmиdu", 0.0),
        ("23:45", 1.0),
        ("866Т", 0.0),
        ("8 (800) 555-35-35", 1.0),
        ("Кот Lt", 0.6),
        ("я", 1.0),
        ("", 0.0),
        ("—", 0.0),
    ],
)
def test_how_much_of_a_text_is_words(text: str, share: float) -> None:
    assert in_words(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "confidence", "doubtful"),
    [
        ("Кот уже там", 0.95, False),
        ("Кот уже там", 0.7, True),
        ("@kot_uchyony", 0.99, False),
        ("owo uэmиdu", 0.9, True),
        ("8", 0.5, False),
        ("", 0.0, False),
    ],
)
def test_only_doubtful_lines_are_read_twice(text: str, confidence: float, doubtful: bool) -> None:
    assert is_doubtful(*sure(text, confidence)) == doubtful


@pytest.mark.parametrize(
    ("turned", "upright", "better"),
    [
        (("Пришёл домой", 0.98), ("owo uэmиdu", 0.8), True),
        (("1998", 0.99), ("866Т", 0.97), True),
        (("Эwnsз", 0.75), ("ReSuMё", 0.45), False),  # neither can be read
        (("ах", 0.92), ("XD", 0.84), False),
        (("ДА", 0.98), ("vu", 0.57), True),
        (("sos", 0.85), ("sos", 0.78), False),
        (("8", 1.0), ("g", 0.4), False),
        (("ежэо", 0.93), ("одежда", 0.82), False),
    ],
)
def test_a_line_is_turned_where_that_is_clearly_better(
    turned: tuple[str, float], upright: tuple[str, float], better: bool
) -> None:
    assert is_better(*sure(*turned), *sure(*upright)) == better


def line(
    text: str, number: int, *, turn: int = 0, confidence: float = 0.97, height: float = 0.05
) -> list[Word]:
    top = 0.1 + 0.15 * number
    words = [
        Word(token, (0.1 + 0.2 * n, top, 0.25 + 0.2 * n, top + height), confidence, number)
        for n, token in enumerate(text.split())
    ]
    if turn == 2:
        mirrored = ((1 - w.box[2], w.box[1], 1 - w.box[0], w.box[3]) for w in words)
        words = [Word(w.text, box, confidence, number, 2) for w, box in zip(words, mirrored, strict=True)]
    return words


def test_a_picture_is_upside_down_where_most_of_its_print_is() -> None:
    turned = [*line("Когда спишь", 0, turn=2), *line("на работе", 1, turn=2)]
    assert is_upside_down(turned)
    assert not is_upside_down([*turned, *line("Когда спишь на работе", 2)])
    assert is_upside_down([*turned, *line("ой", 2)])
    assert not is_upside_down(line("ДА", 0, turn=2))  # a few letters do not tell how a picture stands
    assert not is_upside_down([])


def test_words_turned_round_twice_are_where_they_were() -> None:
    words = [*line("Когда спишь", 0, turn=2), *line("дома", 1)]
    once = turned_round(words)
    assert [word.turn for word in once] == [0, 0, 2]
    assert [word.box for word in turned_round(once)] == [pytest.approx(word.box) for word in words]
    assert [word.turn for word in turned_round(once)] == [word.turn for word in words]


def test_lines_upside_down_among_others_are_read_from_the_right_and_from_below() -> None:
    words = [
        *line("Когда спишь на работе", 0),
        *line("и никто не видит", 3, turn=2),
        *line("то это отпуск", 2, turn=2),
    ]
    lines = Reader.from_words(words, Image.new("RGB", (1000, 600), "white")).lines
    assert [found.text for found in lines] == ["Когда спишь на работе", "и никто не видит", "то это отпуск"]


def test_what_could_not_be_read_goes_where_it_is_most_of_what_is_written() -> None:
    nonsense = line("УТоаАЯ ПАПЭоЧП АД7ОЖ", 0, confidence=0.66)
    words = line("Когда спишь на работе", 1)
    assert legible(nonsense) == ([], 1.0)
    assert legible([*nonsense, *words]) == ([*nonsense, *words], 0.0)
    kept, unread = legible([*nonsense, *line("да", 1)])
    assert kept == line("да", 1)
    assert unread == pytest.approx(0.9, abs=0.05)
    assert legible([]) == ([], 0.0)


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("сссссссссссс", 0.5),  # a texture
        ("со", 0.6),
        ("ЬЩКЪ ЭЙЦУ", 0.3),
        ("Хрюндель", 0.9),  # a name
        ("Кот уже там", 0.6),
    ],
)
def test_textures_names_and_words_are_not_unread(text: str, confidence: float) -> None:
    words = line(text, 0, confidence=confidence)
    assert legible(words) == (words, 0.0)
