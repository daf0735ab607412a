"""Sentences, quoted words, content lemmas, repeated phrases."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train_scripts.captions import SETS
from train_scripts.metrics.faithfulness import ContentLemmas, content_counts
from train_scripts.metrics.quotes import quote_counts, quoted_mask, quoted_text, unquoted_parts
from train_scripts.metrics.repetition import repeats_phrase
from train_scripts.metrics.tokens import plain_words, split_sentences, word_tokens


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("Кот спит", ["Кот спит"]),
        (
            "кот спит. пёс лает! где хозяин? никто не знает…",
            ["кот спит.", "пёс лает!", "где хозяин?", "никто не знает…"],
        ),
        ('Надпись: "Привет." Ниже кот.', ['Надпись: "Привет."', "Ниже кот."]),
        ("Улица г. Москвы. А. С. Пушкин и др. поэты.", ["Улица г. Москвы.", "А. С. Пушкин и др. поэты."]),
        ("Кот, пёс и т. д. на фото.", ["Кот, пёс и т. д. на фото."]),
        ("Кот, пёс и т.д. на фото.", ["Кот, пёс и т.д. на фото."]),
        ("1. Налить чай. 2. Выпить чай.", ["1. Налить чай.", "2. Выпить чай."]),
        ("Кот и я. Пёс и ты.", ["Кот и я.", "Пёс и ты."]),
        ("Версия 2.5 вышла в 10.30 утра. Ура.", ["Версия 2.5 вышла в 10.30 утра.", "Ура."]),
        ("Он ждёт... Она нет.", ["Он ждёт...", "Она нет."]),
    ],
)
def test_sentences_of_russian_captions(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences
    assert [s.lower() for s in sentences] == split_sentences(text.lower())  # the casing changes nothing


@given(st.text(alphabet='кт. !?…"») аяГ1', max_size=40))
def test_no_character_is_lost_between_sentences(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_a_stop_inside_a_caption_is_cut_off_only_where_sentences_are_split() -> None:
    assert word_tokens("Кот спит. Пёс лает.") == ["кот", "спит.", "пёс", "лает", "."]
    assert word_tokens("Кот спит. Пёс лает.", "sentences") == ["кот", "спит", ".", "пёс", "лает", "."]


def test_plain_words_know_no_case_punctuation_or_yo() -> None:
    assert plain_words("Ёлка — 2 шт., ЗЕЛЁНАЯ_ёлка!") == ["елка", "2", "шт", "зеленая", "елка"]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("Надписей нет.", ""),
        ('Сверху: "кот спит". Снизу: "пёс лает".', "кот спит пёс лает"),
        ("Сверху: «кот спит», снизу: “пёс лает”, сбоку: „дом стоит“.", "кот спит пёс лает дом стоит"),
        ('Твит: "Он сказал "привет" и ушёл". Ниже кот.', "Он сказал привет и ушёл"),
        ('Твит: "Смотрю "Матрицу"". Ниже кот.', "Смотрю Матрицу"),
        ('Твит: ""Кто там?" - спросил кот". Ниже кот.', "Кто там спросил кот"),
        ("Твит: «Он сказал «привет» и ушёл». Ниже кот.", "Он сказал привет и ушёл"),
        ('Текст:"без пробела". Ниже кот.', "без пробела"),
        ('Текст: " с пробелами ". Ниже кот.', "с пробелами"),
        ('Кот ("мяу") и пёс.', "мяу"),
        ('Кавычка «не той пары". Ниже кот.', "не той пары"),
        ('Кавычки “одной пары” и “не той пары". Ниже кот.', "одной пары не той пары"),
        ('Не закрыта: "кот спит. Ниже пёс говорит: "гав".', "кот спит гав"),
        ("Не закрыта: «кот спит", "кот спит"),
        ("Лишняя » здесь. Ниже: «кот».", "кот"),
        ('""', ""),
        ('"', ""),
        ("", ""),
    ],
)
def test_what_stands_inside_quotes(text: str, quoted: str) -> None:
    assert plain_words(quoted_text(text)) == plain_words(quoted)


@settings(deadline=None)
@given(st.text(alphabet='аб "«»“”„.,(', max_size=25))
def test_each_word_is_inside_or_outside_and_marks_are_neither(text: str) -> None:
    assert len(quoted_mask(text)) == len(text)
    inside, outside = quoted_text(text), " ".join(unquoted_parts(text))
    letters = [c for c in text if c in "аб"]
    assert sorted(c for c in inside + outside if c in "аб") == sorted(letters)
    assert not set('"«»“”„') & set(inside + outside)


def edits(a: str, b: str) -> int:
    """Levenshtein's distance, the textbook table."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


@pytest.mark.parametrize("pair", SETS["together"])
def test_quoted_words_are_counted_as_often_as_they_occur(pair: tuple[str, str]) -> None:
    said, wanted = (plain_words(quoted_text(text)) for text in pair)
    left = list(wanted)
    matched = 0
    for word in said:
        if word in left:
            left.remove(word)
            matched += 1
    a, b = " ".join(said), " ".join(wanted)
    assert quote_counts(*pair).tolist() == [matched, len(said), len(wanted), edits(a, b), len(b)]


def test_reading_in_another_order_costs_characters_but_no_words() -> None:
    matched, said, wanted, errors, length = quote_counts("«пёс» и «кот».", "«кот», «пёс»").tolist()
    assert (matched, said, wanted, length) == (2, 2, 2, 7)
    assert errors == edits("пес кот", "кот пес") > 0


@pytest.fixture(scope="module")
def lemmas() -> ContentLemmas:
    return ContentLemmas()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Рыжие коты спят на диване.", {"рыжий", "кот", "спать", "диван"}),
        ("Мем. На первом кадре изображена надпись сверху: «рыжий кот».", {"первый"}),
        ("Пёс, который лает на свою тень", {"пес", "лаять", "тень"}),
        (
            "Улыбающаяся девушка, держащая зонт, глядя вдаль",
            {"улыбаться", "девушка", "держать", "зонт", "глядеть"},
        ),
        ("A cat sits. 42!", set()),
        ("", set()),
    ],
)
def test_content_is_what_the_description_says_of_the_picture(
    lemmas: ContentLemmas, text: str, content: set[str]
) -> None:
    assert lemmas.of(text) == content


def test_content_counts() -> None:
    assert content_counts(frozenset("абв"), frozenset("бвгде")).tolist() == [2, 3, 2, 5]


def test_content_of_several_references() -> None:
    """Right is what any of them names; covered must be one of them."""
    counts = content_counts(frozenset("абв"), frozenset("агде"), frozenset("бвг"), frozenset("жз"))
    assert counts.tolist() == [3, 3, 2, 3]


def test_quoted_words_are_counted_against_the_reference_that_has_most_of_them() -> None:
    counts = quote_counts("«кот спит»", "Надписей нет.", "«кот спит дома»", "«пёс»")
    assert counts.tolist() == quote_counts("«кот спит»", "«кот спит дома»").tolist()
    assert quote_counts("Кот.", "«пёс»", "Надписей нет.").tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("parts", "repeated"),
    [
        (["на фото кот и пёс"], False),
        (["на фото рыжий кот, на фото рыжий кот"], True),
        (["На фото рыжий кот. Ниже НА ФОТО, РЫЖИЙ КОТ!"], True),
        (["на фото рыжий кот, на фото рыжий пёс"], False),
        (["ха ха ха ха"], False),
        (["ха ха ха ха ха"], True),
        (["на фото рыжий", "кот на фото рыжий", "кот"], False),
        (["на фото рыжий кот", "на фото рыжий кот"], True),
        ([""], False),
        ([], False),
    ],
)
def test_repeated_phrases(parts: list[str], repeated: bool) -> None:
    assert repeats_phrase(parts) is repeated
