"""Descriptions to targets: what stands in quotes becomes the lines that were read, or is known as unread."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.reading.lines import TextLine
from inference.tokenizers.slots import CLOSE, OPEN, UNREAD
from train_scripts.meme_small.align import align, clean
from train_scripts.meme_small.quotes import (
    is_translated,
    match_line,
    normalise,
    quoted_spans,
    without_translations,
)


def read(*texts: str, blocks: tuple[int, ...] | None = None) -> list[TextLine]:
    return [
        TextLine(text, (0.1, 0.1 * i, 0.9, 0.1 * i + 0.05), 0.9, blocks[i] if blocks else i)
        for i, text in enumerate(texts)
    ]


# --- quoted spans


@pytest.mark.parametrize(
    ("description", "spans"),
    [
        ("Нет ни одной кавычки.", []),
        ('Надпись: "Когда спишь".', ['"Когда спишь"']),
        ("Надпись: «Когда спишь».", ["«Когда спишь»"]),
        ("Надпись: „Когда спишь“.", ["„Когда спишь“"]),
        ('Сверху "раз", снизу "два".', ['"раз"', '"два"']),
        ('"раз""два"', ['"раз"', '"два"']),
        ('Надпись: "Он сказал «нет» и ушёл". Кот.', ['"Он сказал «нет» и ушёл"']),
        ('Сверху «а "б" в» и "г"', ['«а "б" в»', '"г"']),
        ('Никто не закрыл: "Когда спишь. Ниже кот.', ['"Когда спишь.']),
    ],
)
def test_quoted_spans_are_the_outermost_with_their_marks(description: str, spans: list[str]) -> None:
    found = quoted_spans(description)
    assert [description[span.start : span.end] for span in found] == spans
    assert all(span.text in description[span.start : span.end] for span in found)


@given(text=st.text(alphabet='аб «»"“”„.!? ', max_size=30))
def test_spans_never_overlap_and_cover_what_they_say(text: str) -> None:
    end = 0
    for span in quoted_spans(text):
        assert end <= span.start < span.end <= len(text)
        assert span.text in text[span.start : span.end]
        end = span.end


def test_two_writings_of_the_same_words_are_one() -> None:
    assert normalise("Ёлка, «ЁЛКА»!  — ёлка...") == ["елка", "елка", "елка"]


def test_a_line_is_found_in_its_quote_with_its_place() -> None:
    quote = normalise("когда проснулся утром и понял что сегодня понедельник")
    assert match_line(normalise("КОГДА ПРОСНУЛСЯ"), quote) == (1.0, 0.0)
    assert match_line(normalise("сегодня понедельник"), quote) == (1.0, 6.0)
    score, place = match_line(normalise("провнулся утрам"), quote)  # a reader's slips
    assert score > 0.8
    assert place == 1
    assert match_line(normalise("совсем другое"), quote)[0] < 0.5
    assert match_line([], quote) == match_line(["кот"], []) == (0.0, 0.0)


def test_words_split_or_joined_by_reading_are_still_found() -> None:
    quote = normalise("я в пятницу вечером")
    assert match_line(normalise("ЯВ ПЯТНИЦУ ВЕЧЕРОМ"), quote)[0] > 0.8


# --- what is not of the picture


@pytest.mark.parametrize(
    ("description", "kept"),
    [
        ("Кот на окне. Прим. админа: смешно", "Кот на окне."),
        ("Кот на окне. (Примечание редактора: это отсылка)", "Кот на окне."),
        ("Кот на окне. Источник: https://example.org/cat", "Кот на окне."),
        ("Кот на окне.", "Кот на окне."),
    ],
)
def test_remarks_and_links_are_taken_out(description: str, kept: str) -> None:
    assert clean(description) == kept


# --- slots


def test_each_quote_gets_its_lines_in_the_order_of_its_words() -> None:
    lines = read("ПОТОМ УЖЕ СОН", "СНАЧАЛА", "РАБОТА")
    target = align('Мем. Сверху: "Сначала работа", снизу кот и "Потом уже сон".', lines)
    assert target.tokens == (
        *("мем", ".", "сверху", ":", OPEN, 1, 2, CLOSE, ","),
        *("снизу", "кот", "и", OPEN, 0, CLOSE, "."),
    )
    assert (target.quotes, target.unread) == (2, 0)


def test_nested_quotes_are_one_quotation() -> None:
    target = align('Надпись: "Он сказал «нет» и ушёл".', read("Он сказал «нет»", "и ушёл"))
    assert target.tokens == ("надпись", ":", OPEN, 0, 1, CLOSE, ".")


def test_a_quote_nobody_read_is_marked_as_unread() -> None:
    target = align('Сверху "Когда проснулся утром", на кружке "Босс".', read("КОГДА ПРОСНУЛСЯ УТРОМ"))
    assert target.tokens == (*("сверху", OPEN, 0, CLOSE, ",", "на", "кружке", OPEN, UNREAD, CLOSE, "."),)
    assert (target.quotes, target.unread) == (2, 1)


def test_without_lines_every_quote_is_unread() -> None:
    target = align('Сверху "раз", снизу "два".', [])
    assert [token for token in target.tokens if token == UNREAD] == [UNREAD, UNREAD]
    assert target.unread == 2


def test_lines_that_no_quote_holds_are_left_out() -> None:
    lines = read("mememaker.ru", "КОГДА ПРОСНУЛСЯ", "© 2019")
    assert [t for t in align('Надпись: "Когда проснулся".', lines).tokens if isinstance(t, int)] == [1]


def test_the_same_words_in_two_quotes_take_a_line_each() -> None:
    target = align('Сверху "Опять работа", снизу снова "Опять работа".', read("ОПЯТЬ РАБОТА", "ОПЯТЬ РАБОТА"))
    slots = [token for token in target.tokens if isinstance(token, int)]
    assert sorted(slots) == [0, 1]
    assert target.unread == 0


def test_a_translation_in_brackets_does_not_hide_the_words() -> None:
    assert without_translations("Keep calm (сохраняй спокойствие)").split() == ["Keep", "calm"]
    assert without_translations("Привет (мир)") == "Привет (мир)"
    target = align(
        'Надпись: "Keep calm and drink tea (Сохраняй спокойствие и пей чай)".',
        read("KEEP CALM", "AND DRINK TEA"),
    )
    assert target.tokens == ("надпись", ":", OPEN, 0, 1, CLOSE, ".")


def test_a_translated_meme_takes_its_lines_by_their_place() -> None:
    lines = read("WHEN YOU SLEEP", "ALL DAY LONG", "AND THEN WORK", blocks=(0, 0, 1))
    one = align('Надпись: "Когда ты спишь весь день, а потом работаешь".', lines)
    assert [t for t in one.tokens if isinstance(t, int)] == [0, 1, 2]
    two = align('Сверху: "Когда спишь весь день". Снизу: "А потом работа".', lines)
    assert two.tokens[2:6] == (OPEN, 0, 1, CLOSE)
    assert two.tokens[-4:] == (OPEN, 2, CLOSE, ".")


def test_where_counts_leave_doubt_a_translation_takes_nothing() -> None:
    lines = read("WHEN YOU SLEEP", "ALL DAY", "WORK", blocks=(0, 1, 2))
    assert align('Сверху "Когда спишь весь день", снизу "Работа".', lines).unread == 2
    much = read(*["lots of words that nobody has translated at all"] * 6)
    assert align('Надпись: "Сон".', much).unread == 1


@pytest.mark.parametrize("text", ["Мем на английском языке.", "Написано по-английски: кот."])
def test_translated_memes_are_known_by_what_people_write(text: str) -> None:
    assert is_translated(text)
    assert not is_translated("Мем про кота.")


words = st.sampled_from(["кот", "когда", "спишь", "работа", '"', "«", "»", ".", ":", "понедельник", "утром"])


@given(
    description=st.lists(words, max_size=20).map(" ".join),
    texts=st.lists(
        st.lists(st.sampled_from(["когда", "спишь", "работа", "утром", "щъ"]), min_size=1, max_size=3),
        max_size=5,
    ),
)
@example(description='" "', texts=[["когда"]])
def test_targets_are_well_formed_whatever_people_write(description: str, texts: list[list[str]]) -> None:
    lines = read(*(" ".join(words) for words in texts))
    target = align(description, lines)
    inside, slots, quotes = False, [], 0
    before: str | int | None = None
    for token in target.tokens:
        if token == OPEN:
            assert not inside
            inside, quotes = True, quotes + 1
        elif token == CLOSE:
            assert inside
            assert before != OPEN
            inside = False
        else:
            assert inside == (isinstance(token, int) or token == UNREAD)
            slots += [token] if isinstance(token, int) else []
        before = token
    assert not inside
    assert quotes == target.quotes
    assert len(set(slots)) == len(slots)
    assert all(0 <= slot < len(lines) for slot in slots)
    assert target.unread == sum(token == UNREAD for token in target.tokens)
