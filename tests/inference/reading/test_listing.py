"""What is read surely is listed, worth quoting or not; what sites and telephones write is left out."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from PIL import Image, ImageDraw

from inference.reading import scorer
from inference.reading.candidates import Candidate
from inference.reading.lines import ReadLine
from inference.reading.listing import select
from inference.reading.reader import Reader
from inference.reading.scorer import scored
from inference.reading.words import Word
from tests.drawing import draw_meme, font

SIZE = (1000, 500)
MESSAGE = "Когда спишь на работе"

Place = tuple[float, float, str]  # the middle of a text in pixels, and the text


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def photo(width: int, height: int, *, seed: int = 1) -> Image.Image:
    generator = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([tuple(generator.randrange(30, 170) for _ in range(3)) for _ in range(64)])
    return small.resize((width, height), Image.Resampling.BICUBIC)


def drawn(*places: Place, size: int = 44, on: Image.Image | None = None) -> Image.Image:
    image = on or Image.new("RGB", (800, 600), "white")
    for x, y, text in places:
        ImageDraw.Draw(image).text(
            (x, y), text, fill="black" if on is None else "white", font=font(size), anchor="mm"
        )
    return image


def table(*rows: Sequence[str], columns: Sequence[int], step: int) -> Image.Image:
    image = Image.new("RGB", (800, step * (len(rows) + 1)), "white")
    return drawn(
        *(
            (x, step * (number + 1), text)
            for number, row in enumerate(rows)
            for x, text in zip(columns, row, strict=True)
        ),
        size=36,
        on=Image.eval(image, lambda value: 255 - value),
    )


def blocks(reader: Reader, image: Image.Image) -> list[str]:
    found: dict[int, list[str]] = {}
    for line in reader.read(image).listed:
        found.setdefault(line.block, []).append(line.text)
    return [" ".join(found[number]) for number in sorted(found)]


# --- on pictures


@pytest.mark.parametrize("step", [55, 80])
def test_a_table_is_read_row_by_row(reader: Reader, step: int) -> None:
    image = table(
        ("Имя", "Балл"), ("Анна", "57"), ("Борис", "48"), ("Вера", "39"), columns=(160, 520), step=step
    )
    assert blocks(reader, image) == ["Имя Балл", "Анна 57", "Борис 48", "Вера 39"]


def test_a_table_of_three_columns_keeps_its_heads_and_its_signs(reader: Reader) -> None:
    rows = ("Год", "2023", "2024"), ("Доход", "120", "95"), ("Итого", "-10", "-45")
    image = table(*rows, columns=(150, 430, 650), step=80)
    assert blocks(reader, image) == ["Год 2023 2024", "Доход 120 95", "Итого -10 -45"]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (drawn((400, 80, "СЧЁТ"), (180, 300, "3"), (620, 300, "1"), size=90), ["СЧЁТ", "3 1"]),
        (drawn((400, 80, "СЧЁТ"), (180, 300, "2"), (620, 300, "0"), size=90), ["СЧЁТ", "2 0"]),
        (
            drawn(*((150 + 250 * (n % 3), 200 + 150 * (n // 3), t) for n, t in enumerate("542351")), size=60),
            ["5 4 2", "3 5 1"],
        ),
        (
            drawn(*((120 + 140 * n, 400, text) for n, text in enumerate(("55", "70", "100", "130", "145"))),
                  (400, 80, "Я знаю ответ"), size=34),
            ["Я знаю ответ", "55 70 100 130 145"],
        ),
        (
            drawn((200, 100, "Сон"), (550, 100, "5%"), (200, 220, "Еда"), (550, 220, "25%")),
            ["Сон 5%", "Еда 25%"],
        ),
        (
            drawn((200, 150, "Подъём"), (550, 150, "07:00"), (200, 250, "Завтрак"), (550, 250, "07:30")),
            ["Подъём 07:00", "Завтрак 07:30"],
        ),
        (
            drawn(*((150, 80 + 90 * n, str(n + 1)) for n in range(4)),
                  *((450, 80 + 90 * n, text) for n, text in enumerate(("Кот", "Пёс", "Рыба", "Мышь")))),
            ["1 Кот", "2 Пёс", "3 Рыба", "4 Мышь"],
        ),
    ],
    ids=["score", "score with a nought", "grades", "axis", "percents", "timetable", "list"],
)  # fmt: skip
def test_numbers_by_themselves_are_listed(reader: Reader, image: Image.Image, words: list[str]) -> None:
    assert [block.lower() for block in blocks(reader, image)] == [block.lower() for block in words]


@pytest.mark.parametrize("text", ["5", "А?", "03:47", "3%", "2:0", "31 декабря", "+7 912 345-67-89"])
def test_what_stands_alone_is_listed(reader: Reader, text: str) -> None:
    assert blocks(reader, drawn((400, 300, text), size=80)) == [text]
    assert blocks(reader, drawn((400, 300, text), size=80, on=photo(800, 600))) == [text]


def test_answers_of_a_quiz_are_listed(reader: Reader) -> None:
    image = drawn(
        (400, 60, "Сколько будет дважды два?"),
        *((200 + 400 * (n % 2), 240 + 150 * (n // 2), f"{n + 1}) {text}") for n, text in enumerate("3458")),
        size=40,
    )
    question, *answers = blocks(reader, image)
    assert question == "Сколько будет дважды два?"
    assert sorted("".join(answers).replace(" ", "")) == sorted("1)32)43)54)8")


def test_a_calendar_is_read_week_by_week(reader: Reader) -> None:
    days = ((90 + 105 * (n % 7), 120 + 90 * (n // 7), str(n + 1)) for n in range(28))
    assert blocks(reader, drawn((400, 40, "МАЙ"), *days, size=40)) == [
        "МАЙ",
        *(" ".join(str(day) for day in range(first, first + 7)) for first in (1, 8, 15, 22)),
    ]


def test_columns_of_words_stay_columns(reader: Reader) -> None:
    left, right = ("МОЙ КОТ УТРОМ", "ПРОСИТ ЕДЫ", "И ВНИМАНИЯ"), ("МОЙ КОТ ДНЁМ", "ЛЕЖИТ НА", "КЛАВИАТУРЕ")
    image = table(*zip(left, right, strict=True), columns=(200, 600), step=50)
    assert blocks(reader, image) == [" ".join(left), " ".join(right)]


def circles(image: Image.Image, *, step: int, radius: int, width: int) -> Image.Image:
    draw = ImageDraw.Draw(image)
    for x in range(step // 2, image.width, step):
        for y in range(step // 2, image.height, step):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline="black", width=width)
    return image


def wheel(image: Image.Image, x: int, y: int, radius: int) -> Image.Image:
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline="black", width=radius // 8)
    for number in range(8):
        angle = math.tau * number / 8
        end = (x + radius * math.cos(angle), y + radius * math.sin(angle))
        draw.line((x, y, *end), fill="black", width=radius // 20)
    return image


def face(x: int, y: int, radius: int) -> Image.Image:
    image = Image.new("RGB", (600, 400), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="yellow", outline="black", width=4)
    for side in (-1, 1):
        eye = (x + side * radius * 0.4, y - radius * 0.3)
        draw.ellipse((eye[0] - 8, eye[1] - 10, eye[0] + 8, eye[1] + 10), fill="black")
    draw.arc((x - radius // 2, y - radius // 2, x + radius // 2, y + radius // 2), 20, 160, "black", 6)
    return image


def ruled(step: int, width: int, *, both: bool) -> Image.Image:
    image = Image.new("RGB", (600, 400), "white")
    draw = ImageDraw.Draw(image)
    for x in range(0, 600, step):
        draw.line((x, 0, x, 400), fill="black", width=width)
    for y in range(0, 400 if both else 0, step):
        draw.line((0, y, 600, y), fill="black", width=width)
    return image


@pytest.mark.parametrize(
    "image",
    [
        draw_meme("photo"),
        draw_meme("photo", mood="sleepy"),
        circles(Image.new("RGB", (600, 400), "white"), step=500, radius=100, width=20),
        circles(Image.new("RGB", (600, 400), "white"), step=100, radius=30, width=6),
        circles(photo(600, 400, seed=5), step=60, radius=20, width=4),
        circles(Image.new("RGB", (600, 400), "white"), step=20, radius=4, width=4),
        wheel(wheel(Image.new("RGB", (600, 400), "skyblue"), 150, 280, 90), 450, 280, 90),
        face(300, 200, 150),
        face(300, 200, 40),
        ruled(20, 1, both=True),
        ruled(100, 10, both=True),
        ruled(16, 8, both=False),
    ],
    ids=[
        "cat", "sleepy cat", "circle", "rings", "rings on a photo", "dots", "wheels", "face", "small face",
        "fine grid", "grid", "stripes",
    ],
)  # fmt: skip
def test_no_words_are_invented(reader: Reader, image: Image.Image) -> None:
    assert reader.read(image).listed == ()


# --- by words with given places


def line(
    text: str, *, left: float, top: float, number: int, height: float = 0.08, confidence: float = 0.97
) -> list[Word]:
    """Words in a row, their letters half as wide as high."""
    words = []
    for token in text.split():
        right = left + 0.25 * height * len(token)
        words.append(Word(token, (left, top, right, top + height), confidence, number))
        left = right + 0.25 * height
    return words


@pytest.fixture
def choosy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer would quote sentences alone, whatever else stands there."""

    def scores(lines: Sequence[Candidate], size: tuple[int, int]) -> list[float]:
        assert size
        return [float(sum(map(str.isalpha, found.text)) > 8 and found.height > 30) for found in lines]

    monkeypatch.setattr(scorer, "quotable", scores)


def listed(words: Sequence[Word], size: tuple[int, int] = SIZE) -> list[ReadLine]:
    return list(select(scored(words, size)).listed)


def texts(*lines: list[Word]) -> list[str]:
    words = [word for own in lines for word in own]
    return [found.text for found in sorted(listed(words), key=lambda one: (one.box[1], one.box[0]))]


def test_what_would_be_quoted_is_always_listed() -> None:
    words = line(MESSAGE, left=0.1, top=0.4, number=0) + line("goз", left=0.7, top=0.1, number=1)
    found = select(scored(words, SIZE))
    assert found.message
    assert set(found.message) <= set(found.listed)
    assert listed([]) == []


FURNITURE = [
    "21:47",
    "21:47 //",
    "10:24 · 3 мая",
    "Вчера 12:08",
    "7:12 PM · 6/7/19",
    "2 ноя в 19:19 Ответить",
    "2017-10-22, 1:56 AM",
    "26M views",
    "1,2 тыс. просмотров",
    "Нравится",
    "Translate Tweet",
    "3:05 / 9:41",
    "15K",
]


@pytest.mark.usefixtures("choosy")
@pytest.mark.parametrize("text", FURNITURE)
def test_what_a_site_writes_under_a_message_is_not_listed(text: str) -> None:
    message = line(MESSAGE, left=0.1, top=0.4, number=0)
    small = line(text, left=0.1, top=0.5, number=1, height=0.055)
    assert texts(message, small) == [MESSAGE]


@pytest.mark.usefixtures("choosy")
@pytest.mark.parametrize("text", ["21:47", "10:24 3 мая", "26M views", "Нравится", "15K"])
def test_the_same_as_large_letters_is_what_the_picture_says(text: str) -> None:
    message = line(MESSAGE, left=0.1, top=0.1, number=0)
    assert texts(message, line(text, left=0.1, top=0.5, number=1, height=0.2)) == [MESSAGE, text]
    assert texts(line(text, left=0.1, top=0.5, number=1, height=0.2)) == [text]


@pytest.mark.usefixtures("choosy")
def test_times_of_a_chat_are_furniture_and_those_of_a_timetable_are_not() -> None:
    def page(*times: str) -> list[str]:
        messages = ["Привет, ты дома?", "Нет, я на работе", "А кот на кухне"]
        lines = []
        for number, (message, time) in enumerate(zip(messages, times, strict=True)):
            lines.append(line(message, left=0.1, top=0.1 + 0.3 * number, number=number))
            lines.append(line(time, left=0.7, top=0.1 + 0.3 * number, number=9 + number, height=0.07))
        return texts(*lines)

    assert page("11:55", "11:56", "11:58") == ["Привет, ты дома?", "Нет, я на работе", "А кот на кухне"]
    assert {"07:00", "08:30", "23:00"} <= set(page("07:00", "08:30", "23:00"))


@pytest.mark.usefixtures("choosy")
def test_a_small_time_far_from_all_words_is_a_clock_on_the_picture() -> None:
    message = line("Когда спишь", left=0.02, top=0.05, number=0)
    assert texts(message, line("3:15", left=0.8, top=0.8, number=1, height=0.06)) == ["Когда спишь", "3:15"]


@pytest.mark.usefixtures("choosy")
def test_the_bar_of_a_telephone_is_not_listed() -> None:
    tall = (500, 1000)
    words = [
        *line("09:41", left=0.05, top=0.01, number=0, height=0.025),
        *line("МегаФон", left=0.4, top=0.01, number=1, height=0.025),
        *line("87%", left=0.9, top=0.01, number=2, height=0.025),
        *line(MESSAGE, left=0.05, top=0.4, number=3, height=0.04),
    ]
    assert [found.text for found in listed(words, tall)] == [MESSAGE]


@pytest.mark.usefixtures("choosy")
def test_counters_under_a_post_are_furniture_and_numbers_of_an_axis_are_not() -> None:
    message = line(MESSAGE, left=0.1, top=0.2, number=0)

    def row(*numbers: str, top: float) -> list[list[Word]]:
        return [
            line(text, left=0.1 + 0.15 * place, top=top, number=10 + place, height=0.05)
            for place, text in enumerate(numbers)
        ]

    assert texts(message, *row("12", "340", "7", top=0.6)) == [MESSAGE]
    axis = ("55", "70", "100", "130", "145")
    assert texts(message, *row(*axis, top=0.6)) == [MESSAGE, *axis]
    assert texts(message, *row("12", top=0.6)) == [MESSAGE, "12"]


@pytest.mark.usefixtures("choosy")
@pytest.mark.parametrize("text", ["memes.ru", "@kot_uchyony", "u/kotik_42", "imgfiipcom", "www.kot.org/meme"])
def test_the_mark_of_a_site_is_not_listed(text: str) -> None:
    message = line(MESSAGE, left=0.1, top=0.4, number=0)
    assert texts(message, line(text, left=0.02, top=0.95, number=1, height=0.04)) == [MESSAGE]
    assert texts(line(text, left=0.02, top=0.95, number=1, height=0.04)) == []


@pytest.mark.usefixtures("choosy")
def test_an_address_as_large_as_the_message_is_part_of_it() -> None:
    message = line(MESSAGE, left=0.1, top=0.2, number=0)
    assert texts(message, line("memes.ru", left=0.1, top=0.6, number=1)) == [MESSAGE, "memes.ru"]


@pytest.mark.usefixtures("choosy")
@pytest.mark.parametrize(
    ("text", "confidence", "height", "kept"),
    [
        ("7", 0.75, 0.08, True),
        ("7", 0.65, 0.08, False),
        ("о", 0.85, 0.08, False),
        ("о", 0.95, 0.08, True),
        ("1", 0.85, 0.08, False),
        ("1", 0.97, 0.08, True),
        ("1", 0.97, 0.04, False),  # a stroke, half as high as the letters
        ("V", 0.85, 0.08, False),
        ("57", 0.85, 0.08, True),
        ("ЬЩКЪ", 0.85, 0.08, False),  # no word: surer
        ("Гзынь", 0.95, 0.08, True),
        ("—", 0.99, 0.08, False),
    ],
)
def test_how_sure_a_line_must_be(text: str, confidence: float, height: float, kept: bool) -> None:
    message = line(MESSAGE, left=0.1, top=0.1, number=0)
    own = line(text, left=0.7, top=0.7, number=1, height=height, confidence=confidence)
    assert texts(message, own) == [MESSAGE, *([text] if kept else [])]


@pytest.mark.usefixtures("choosy")
def test_faint_letters_in_a_row_of_sure_ones_are_its_own() -> None:
    def keys(*sure: float) -> list[list[Word]]:
        return [
            line(text, left=0.1 + 0.15 * n, top=0.5, number=n, confidence=own)
            for n, (text, own) in enumerate(zip("йцук", sure, strict=True))
        ]

    assert texts(*keys(0.9, 0.5, 0.9, 0.45)) == ["й", "ц", "у", "к"]
    assert texts(*keys(0.9, 0.3, 0.9, 0.9)) == ["й", "у", "к"]
    assert texts(*keys(0.5, 0.5, 0.5, 0.5)) == []


@pytest.mark.usefixtures("choosy")
@pytest.mark.parametrize(("width", "words"), [(0.03, ["2", "0"]), (0.09, ["2"])])
def test_a_nought_beside_a_number_is_higher_than_wide(width: float, words: list[str]) -> None:
    nought = Word("о", (0.6, 0.4, 0.6 + width, 0.56), 0.5, 1)
    assert texts(line("2", left=0.2, top=0.4, number=0, height=0.16), [nought]) == words


def test_who_wrote_a_post_is_listed_once() -> None:
    words = [
        *line("Котик Мурзик", left=0.1, top=0.1, number=0),
        *line("@kotik_42", left=0.1, top=0.2, number=1),
        *line("Сегодня я проспал работу", left=0.1, top=0.4, number=2),
    ]
    (only,) = listed(words)
    assert (only.text, only.author) == ("Сегодня я проспал работу", "kotik_42")
