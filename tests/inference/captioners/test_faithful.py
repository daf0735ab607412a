"""The cut: quotations stay, what the picture does not support goes, and what is left still reads well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.captioners.meme_small.faithful import Cutter, Evident
from inference.reading.lines import TextLine
from inference.tokenizers.slots import CLOSE, OPEN, SPECIAL, UNK, SlotTokenizer

LEVELS = ("<detail-0>", "<detail-1>", "<detail-2>")
FREE_WORDS = (
    "мем",
    "фотография",
    "фотографии",
    "на",
    "надпись",
    "подпись",
    "сверху",
    "и",
    "из",
    ":",
    ".",
    ",",
    "!",
    "изображён",
    "изображена",
    "твит",
    "пользователя",
)
CONTENT = ("кот", "сидит", "собака", "окне")
UNLEARNT, PRONOUN = "небоскрёб", "он"
TOKENIZER = SlotTokenizer((*SPECIAL, *LEVELS, *FREE_WORDS, *CONTENT, UNLEARNT, PRONOUN))
CONCEPTS = {word: number for number, word in enumerate(CONTENT)} | {UNLEARNT: -2}
NOTHING = np.zeros(len(CONTENT), dtype=bool)
CUT = Cutter(TOKENIZER, [CONCEPTS.get(word, -1) for word in TOKENIZER.words])
V = len(TOKENIZER)
LINES = [TextLine(f"С{i}", (0.1, 0.1, 0.5, 0.2), 0.9, i) for i in range(6)]


def ids(*pieces: str | int) -> list[int]:
    return [V + one if isinstance(one, int) else TOKENIZER.id(one) for one in pieces]


def cut(*pieces: str | int, allowed: Sequence[str] = ()) -> str:
    return TOKENIZER.decode(CUT(ids(*pieces), {CONCEPTS[word] for word in allowed}), LINES)


def test_what_is_supported_stays_as_it_is() -> None:
    pieces = ("на", "фотографии", "кот", "сидит", ".", "надпись", "сверху", ":", OPEN, 0, 1, CLOSE, ".")
    assert cut(*pieces, allowed=("кот", "сидит")) == 'На фотографии кот сидит. Надпись сверху: "С0 С1".'


def test_a_clause_about_what_is_not_supported_goes() -> None:
    pieces = ("на", "фотографии", "кот", "сидит", ".", "надпись", ":", OPEN, 0, CLOSE, ".")
    assert cut(*pieces) == 'Фотография. Надпись: "С0".'


def test_a_quotation_whose_lead_goes_gets_a_plain_one() -> None:
    assert cut("собака", ":", OPEN, 0, CLOSE, ".") == 'Подпись: "С0".'


def test_a_quotation_of_nothing_goes_with_its_lead() -> None:
    assert cut("мем", ".", "надпись", ":", OPEN, CLOSE, ".") == "Мем."


def test_words_nobody_learnt_or_that_point_nowhere_never_stay() -> None:
    assert cut("мем", ".", UNLEARNT, ".", allowed=CONTENT) == "Мем."
    assert cut("мем", ".", PRONOUN, "сидит", ".", allowed=CONTENT) == "Мем."
    assert cut("мем", ".", UNK, "сидит", ".", allowed=CONTENT) == "Мем."


def test_an_announcement_of_nothing_goes() -> None:
    assert cut("мем", ".", "надпись", "сверху", ".") == "Мем."


def test_a_caption_cut_short_within_a_quotation_keeps_what_was_read() -> None:
    assert cut("надпись", ":", OPEN, 0, 1) == 'Надпись: "С0 С1".'
    assert cut("собака", ":", OPEN, 0) == 'Подпись: "С0".'


def test_a_sentence_that_stammers_goes() -> None:
    assert (
        cut("на", "фотографии", "изображён", "изображена", "кот", ".", "мем", ".", allowed=CONTENT) == "Мем."
    )


@pytest.mark.parametrize(
    ("words", "bare"),
    [
        (("на", "фотографии", "."), True),
        (("на", "фотографии", "изображена", "фотография", "."), True),
        (("мем", "на", "фотографии", "."), True),
        (("мем", "."), False),
        (("на", "фотографии", "кот", "."), False),
    ],
)
def test_a_sentence_that_only_says_that_there_is_a_picture(words: tuple[str, ...], bare: bool) -> None:
    assert CUT.is_bare(ids(*words)) == bare


def test_nobodys_post_is_told_of_where_no_account_is_read() -> None:
    tweet = ids("твит", "пользователя", ":", OPEN, 0, CLOSE, ".")
    signed, unsigned = Evident(frames=1, signed=True), Evident(frames=1, signed=False)
    assert TOKENIZER.decode(CUT(tweet, (), evident=signed), LINES) == 'Твит пользователя: "С0".'
    assert TOKENIZER.decode(CUT(tweet, (), evident=unsigned), LINES) == 'Подпись: "С0".'
    words = {TOKENIZER.id("твит"), TOKENIZER.id("пользователя")}
    assert not any(CUT.forbidden(NOTHING, signed)[word] for word in words)
    assert all(CUT.forbidden(NOTHING, unsigned)[word] for word in words)
    assert not CUT.forbidden(NOTHING, unsigned)[TOKENIZER.id("надпись")]


def test_what_is_no_russian_is_said_plainly_or_not_at_all() -> None:
    def told(*pieces: str | int) -> str:
        return TOKENIZER.decode(CUT(ids(*pieces), (), evident=Evident(frames=1, signed=True)), LINES)

    assert told("мем", "из", "мем", ":", OPEN, 0, CLOSE, ".") == 'Подпись: "С0".'
    assert told("мем", "из", "надпись", ".", "надпись", ":", OPEN, 0, CLOSE, ".") == 'Надпись: "С0".'
    assert told("надпись", ":", OPEN, 0, CLOSE, "на", "сверху", ".") == 'Надпись: "С0".'
    assert told("мем", "на", "фотографии", ":", OPEN, 0, CLOSE, ".") == 'Мем на фотографии: "С0".'


def test_nothing_supported_nothing_said() -> None:
    assert cut("кот", "сидит", ".") == cut() == ""


@st.composite
def captions(draw: st.DrawFn) -> list[int]:
    """Anything the quote grammar lets through: words, and quotations of lines that are quoted once."""
    tokens: list[int] = []
    slots = iter(range(len(LINES)))
    for _ in range(draw(st.integers(0, 5))):
        words = draw(st.lists(st.sampled_from([*FREE_WORDS, *CONTENT, UNLEARNT, PRONOUN, UNK]), max_size=6))
        tokens += ids(*words)
        quoted = [slot for _, slot in zip(range(draw(st.integers(0, 2))), slots, strict=False)]
        if quoted:
            tokens += ids(OPEN, *quoted, CLOSE)
    if draw(st.booleans()) and tokens and tokens[-1] == TOKENIZER.id(CLOSE):
        tokens.pop()  # cut short by the limit of tokens
    return tokens


@settings(max_examples=400, deadline=None)
@given(tokens=captions(), allowed=st.sets(st.integers(0, len(CONTENT) - 1)))
def test_every_line_quoted_stays_and_nothing_unsupported_does(tokens: list[int], allowed: set[int]) -> None:
    kept = CUT(tokens, allowed)
    assert [token for token in kept if token >= V] == [token for token in tokens if token >= V]
    inside = False
    for token in kept:
        assert (token >= V or token == TOKENIZER.id(CLOSE)) == inside
        if token in (TOKENIZER.id(OPEN), TOKENIZER.id(CLOSE)):
            inside = token == TOKENIZER.id(OPEN)
    assert not inside
    words = {TOKENIZER.words[token] for token in kept if token < V}
    assert not words & {UNLEARNT, PRONOUN, UNK}
    assert not words & {word for word in CONTENT if CONCEPTS[word] not in allowed}
    assert words <= {TOKENIZER.words[token] for token in tokens if token < V} | {
        CLOSE,
        "подпись",
        ":",
        ".",
        "фотография",
    }
    text = TOKENIZER.decode(kept, LINES)
    assert not text or text[-1] in ".!"


@pytest.mark.parametrize("allowed", [(), CONTENT])
def test_cutting_twice_cuts_no_more(allowed: tuple[str, ...]) -> None:
    pieces = ("на", "фотографии", "кот", "сидит", "и", "собака", ".", "собака", ":", OPEN, 0, CLOSE, ".")
    support = {CONCEPTS[word] for word in allowed}
    once = CUT(ids(*pieces), support)
    assert CUT(once, support) == once


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 6, 7, 40])
@pytest.mark.parametrize("signed", [False, True])
def test_what_is_forbidden_is_what_would_be_cut(frames: int, signed: bool) -> None:
    """Word by word, as the rules for one word say it."""
    evident = Evident(frames, signed)
    for chosen in (set(), set(range(0, len(CONTENT), 2)), set(range(len(CONTENT)))):
        allowed = np.isin(np.arange(len(CONTENT)), list(chosen))
        assert CUT.forbidden(allowed, evident).tolist() == [
            word not in CUT._structure and (CUT._unsupported(word, chosen) or CUT._is_belied(word, evident))
            for word in range(len(TOKENIZER))
        ]
