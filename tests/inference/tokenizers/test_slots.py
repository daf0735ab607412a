"""From tokens to a caption as a person writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.reading.lines import TextLine, clean_quote
from inference.tokenizers.slots import (
    CLOSE,
    EOS,
    OPEN,
    PAD,
    SPECIAL,
    UNK,
    UNREAD,
    SlotTokenizer,
    split_words,
)

WORDS = (
    *("мем", "кот", "надпись", "сверху", "гарри", "поттер", "на", "фото", "он", "из-за", "2"),
    *(".", ",", ":", "(", ")", "!", "...", "—"),
)
LEVELS = ("<detail-0>", "<detail-1>", "<detail-2>")
TOKENIZER = SlotTokenizer((*SPECIAL, *LEVELS, *WORDS), {"гарри": "Гарри", "поттер": "Поттер"})
LINES = [
    TextLine("КОГДА ТЫ", (0.1, 0.1, 0.5, 0.2), 0.9, 0),
    TextLine("спишь…", (0.1, 0.2, 0.5, 0.3), 0.9, 0),
    TextLine("«Привет!»", (0.1, 0.7, 0.5, 0.8), 0.9, 1),
    TextLine("||_", (0.1, 0.9, 0.5, 0.95), 0.9, 2),
]


def say(*pieces: str | int) -> str:
    """Numbers are lines, strings tokens."""
    tokens = [len(TOKENIZER) + one if isinstance(one, int) else TOKENIZER.id(one) for one in pieces]
    return TOKENIZER.decode(tokens, LINES)


def test_a_sentence_begins_with_a_capital_and_ends_with_a_full_stop() -> None:
    assert say("мем", ".", "на", "фото", "кот") == "Мем. На фото кот."
    assert say("кот", "!", "он", "...", "он") == "Кот! Он... Он."
    assert say("кот", "...") == "Кот..."


def test_punctuation_stands_where_people_put_it() -> None:
    assert say("кот", ",", "мем", "(", "кот", ")", ":", "он") == "Кот, мем (кот): он."
    assert say("кот", "—", "мем") == "Кот — мем."


def test_names_have_their_capitals() -> None:
    assert say("на", "фото", "гарри", "поттер") == "На фото Гарри Поттер."


def test_lines_are_quoted_as_they_were_read() -> None:
    assert say("надпись", ":", OPEN, 0, 1, CLOSE, ".", "кот") == 'Надпись: "КОГДА ТЫ спишь…". Кот.'


def test_quotation_marks_of_a_line_become_single_or_go() -> None:
    assert say("кот", ":", OPEN, 2, CLOSE) == 'Кот: "Привет!".'
    assert clean_quote("он сказал «да» и ушёл") == "он сказал 'да' и ушёл"


def test_a_quotation_may_begin_the_caption() -> None:
    assert say(OPEN, 0, CLOSE, "кот") == '"КОГДА ТЫ" кот.'


def test_a_quotation_cut_short_is_closed() -> None:
    assert say("кот", ":", OPEN, 0) == 'Кот: "КОГДА ТЫ".'


def test_a_quotation_of_nothing_is_left_out_with_what_announced_it() -> None:
    assert say("кот", ":", OPEN, 3, CLOSE) == "Кот."
    assert say("кот", ":", OPEN) == "Кот."
    assert say("кот", OPEN, 3, CLOSE, ".", "мем") == "Кот. Мем."


def test_structure_is_never_written_out() -> None:
    assert say("<detail-1>", "кот", UNK, PAD, UNREAD, EOS) == "Кот."
    assert say() == ""
    assert say(PAD, EOS, UNK) == ""


pieces = st.lists(
    st.sampled_from([*range(len(LINES)), *WORDS, OPEN, CLOSE, UNK, UNREAD, EOS, *LEVELS]), max_size=25
)


def well_formed(draft: Sequence[str | int]) -> list[str | int]:
    """The draft with slots inside quotations only and words outside, as the grammar has it."""
    kept: list[str | int] = []
    inside = False
    for one in draft:
        if one == OPEN and not inside:
            inside = True
        elif one == CLOSE and inside:
            inside = False
        elif one in (OPEN, CLOSE) or isinstance(one, int) != inside:
            continue
        kept.append(one)
    return kept


@given(draft=pieces)
@example(draft=["кот", OPEN, 3, CLOSE, OPEN, 0, CLOSE, OPEN, 3, CLOSE, ",", "мем"])
@example(draft=[OPEN, 3, CLOSE, OPEN, 0, CLOSE])
@example(draft=[".", OPEN, CLOSE, "мем"])
@example(draft=[".", OPEN, 3, CLOSE, "мем"])
def test_every_caption_is_clean(draft: list[str | int]) -> None:
    kept = well_formed(draft)
    text = say(*kept)
    assert text == text.strip()
    assert "  " not in text
    assert "<" not in text
    assert text.count('"') % 2 == 0
    assert '""' not in text
    if not text:
        return
    assert text[-1] in ".!?…"
    for end in re.finditer(r"[.!…] ([^\W\d])", re.sub(r'"[^"]*"', '""', text)):
        assert end.group(1).isupper()
    slots = [one for one in kept if isinstance(one, int)]
    quoted = " ".join(re.findall(r'"([^"]*)"', text))
    assert quoted == " ".join(filter(None, (clean_quote(LINES[one].text) for one in slots)))


@given(draft=st.lists(st.sampled_from([*WORDS[:11], ",", "."]), max_size=20))
def test_words_survive_writing_and_reading(draft: list[str]) -> None:
    words = [one for one in draft if one[0].isalnum()]
    assert [one for one in split_words(say(*draft)) if one[0].isalnum()] == words


@given(line=st.text(max_size=40))
def test_a_line_between_quotation_marks_holds_none(line: str) -> None:
    clean = clean_quote(line)
    assert not set(clean) & set('"“”„«»')
    assert clean == clean.strip()
    assert not re.search(r"\s\s|[^\S ]", clean)
    assert clean_quote(clean) == clean
    assert [c for c in clean if c.isalnum()] == [c for c in line if c.isalnum()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Мем: кот, пёс...", ["мем", ":", "кот", ",", "пёс", "..."]),
        ("Из-за дождя don't", ["из-за", "дождя", "don't"]),
        ("«Да!»", ["«", "да", "!", "»"]),
        ("  \n ", []),
        ("user@mail.ru 3.5", ["user@mail.ru", "3.5"]),
    ],
)
def test_words_are_lower_case_and_marks_stand_alone(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_unknown_words_have_the_unknown_id() -> None:
    assert TOKENIZER.encode_words("Кот бегемот.") == [
        TOKENIZER.id("кот"),
        TOKENIZER.id(UNK),
        TOKENIZER.id("."),
    ]


def test_levels_follow_the_special_tokens() -> None:
    assert TOKENIZER.levels == tuple(range(len(SPECIAL), len(SPECIAL) + 3))


def test_it_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(TOKENIZER.render(), encoding="utf-8")
    loaded = SlotTokenizer.load(tmp_path / "tokenizer.json")
    assert loaded == TOKENIZER
    assert loaded.decode(range(7, len(TOKENIZER)), LINES) == TOKENIZER.decode(range(7, len(TOKENIZER)), LINES)
    assert "гарри" in json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["words"]


def test_a_vocabulary_that_starts_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="starts with <pad>, <bos>"):
        SlotTokenizer(("кот", *SPECIAL))
