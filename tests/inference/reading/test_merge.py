"""Words to lines, and which of them count; the scorer against a computation of its own."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.reading.merge import (
    FEATURES,
    SCORER_FILE,
    candidates,
    features,
    load_scorer,
    select,
)
from inference.reading.words import Word

SIZE = (1000, 500)


def line(text: str, *, left: float, top: float, number: int = 0, confidence: float = 0.95) -> list[Word]:
    """Words in a row, letters .02 wide and .08 high (20 by 40 pixels)."""
    words = []
    for token in text.split():
        right = left + 0.02 * len(token)
        words.append(Word(token, (left, top, right, top + 0.08), confidence, number))
        left = right + 0.02
    return words


def texts(words: list[Word]) -> list[str]:
    return [found.text for found in candidates(words, SIZE)]


def test_candidates_have_boxes_in_pixels() -> None:
    (only,) = candidates(line("Когда спишь", left=0.1, top=0.5), SIZE)
    assert only.text == "Когда спишь"
    np.testing.assert_allclose(only.box, (100, 250, 320, 290))
    assert only.height == pytest.approx(40)


def test_a_line_is_split_where_columns_part() -> None:
    row = line("левый столбец", left=0.05, top=0.2) + line("правый столбец", left=0.6, top=0.2)
    assert texts(row) == ["левый столбец", "правый столбец"]


def test_words_come_from_the_left_whatever_order_they_were_seen_in() -> None:
    assert texts(line("один два три", left=0.1, top=0.2)[::-1]) == ["один два три"]


def test_specks_at_the_ends_go_and_those_in_the_middle_stay() -> None:
    words = [
        word if word.text in {"Когда", "спишь"} else Word(word.text, word.box, 0.3, word.line)
        for word in line("щъ Когда кщ спишь жь", left=0.1, top=0.2)
    ]
    assert texts(words) == ["Когда кщ спишь"]


def test_the_mark_that_ends_a_sentence_stays() -> None:
    assert texts(line("И тут я понял ...", left=0.1, top=0.2)) == ["И тут я понял ..."]


@pytest.mark.parametrize(
    ("text", "confidence", "kept"),
    [("о", 0.7, False), ("О", 0.7, False), ("0", 0.7, False), ("о", 0.9, True), ("я", 0.7, True)],
)
def test_a_round_thing_by_itself_is_no_letter(text: str, confidence: float, kept: bool) -> None:
    words = line(text, left=0.4, top=0.4, confidence=confidence)
    assert bool(candidates(words, SIZE)) == kept
    beside = line(f"{text} спишь", left=0.4, top=0.4, confidence=confidence)
    assert texts(beside) == [f"{text} спишь"]


def test_a_line_of_specks_is_no_candidate() -> None:
    assert texts(line("| ~ _", left=0.1, top=0.2, confidence=0.3)) == []
    assert select([], SIZE) == []


def test_plain_words_are_one_line_that_is_quoted() -> None:
    (only,) = select(line("Когда спишь на работе", left=0.1, top=0.4), SIZE)
    assert only.text == "Когда спишь на работе"
    assert only.confidence > 0.8


def test_letters_of_a_photo_are_refused() -> None:
    specks = line("кщя ЬП", left=0.7, top=0.1, number=1, confidence=0.3)
    words = line("Когда спишь на работе", left=0.1, top=0.7) + specks
    assert [found.text for found in select(words, SIZE)] == ["Когда спишь на работе"]


def test_the_time_of_a_message_is_less_likely_quoted_than_its_words() -> None:
    words = line("Ты где вообще сейчас", left=0.1, top=0.4) + line("21:47", left=0.7, top=0.5, number=1)
    values = features(candidates(words, SIZE), SIZE)
    message, clock = load_scorer().probabilities(values)
    assert clock < message


def test_the_threshold_decides_how_sure_a_line_must_be() -> None:
    words = line("Когда спишь на работе", left=0.1, top=0.4)
    assert len(select(words, SIZE, threshold=0.0)) == 1
    assert select(words, SIZE, threshold=1.0) == []


def test_alphabets_follow_the_picture() -> None:
    russian = line("КОГДА СПИШЬ HE ТАМ", left=0.1, top=0.4)
    assert [found.text for found in select(russian, SIZE)] == ["КОГДА СПИШЬ НЕ ТАМ"]
    english = line("WHEN HE СOMES HOME", left=0.1, top=0.4)
    assert [found.text for found in select(english, SIZE)] == ["WHEN HE COMES HOME"]
    mixed = line("WHAT'S YouR DREAM JoB", left=0.1, top=0.4)
    assert [found.text for found in select(mixed, SIZE)] == ["WHAT'S YOUR DREAM JOB"]
    name = line("my old iPhone again", left=0.1, top=0.4)
    assert [found.text for found in select(name, SIZE)] == ["my old iPhone again"]


@pytest.mark.parametrize(
    ("found", "read"),
    [
        ("КОГДА мОЙ КОТ НЕ иДЕТ", "КОГДА МОЙ КОТ НЕ ИДЕТ"),
        ("Когда Мой кот бежИт", "Когда Мой кот бежит"),
        ("Зимой мы едем в Нотр-Дам", "Зимой мы едем в Нотр-Дам"),
        ("WHAT's WRONG WITH oF", "WHAT'S WRONG WITH OF"),
        ("Кот очень жирный.Если спит", "Кот очень жирный. Если спит"),
        ("Смотри на сайт почта.рф сейчас", "Смотри на сайт почта.рф сейчас"),
        ("Ой,всё!Я ушла спать", "Ой, всё! Я ушла спать"),
    ],
)
def test_capitals_and_spaces_are_as_people_write_them(found: str, read: str) -> None:
    assert [one.text for one in select(line(found, left=0.1, top=0.4), SIZE)] == [read]


@pytest.mark.parametrize(
    "mark",
    [
        "—",
        "= +",
        "2,1 тыс. отметок «Нравится»",
        "87 ретвитов",
        "час назад",
        "Twitter for iPhone",
        "51 Цитировать твит",
    ],
)
def test_marks_alone_and_what_a_site_writes_are_not_quoted(mark: str) -> None:
    words = line("Когда спишь на работе", left=0.1, top=0.4) + line(mark, left=0.1, top=0.6, number=1)
    assert [found.text for found in select(words, SIZE)] == ["Когда спишь на работе"]


@pytest.mark.parametrize("text", ["Он пришёл час назад домой", "?!", "отметок 5 и выше", "..."])
def test_words_that_only_look_like_it_stay(text: str) -> None:
    words = line(text, left=0.1, top=0.4)
    (furniture,) = select(line("час назад", left=0.1, top=0.4), SIZE, threshold=0.0)
    (own,) = select(words, SIZE, threshold=0.0)
    assert furniture.confidence == 0 < own.confidence


def test_words_glued_at_a_comma_are_parted() -> None:
    (only,) = select(line("Если ты зайка,то тебя съедят", left=0.05, top=0.4), SIZE)
    assert only.text == "Если ты зайка, то тебя съедят"


def test_a_letter_that_is_a_word_may_end_a_line_less_surely() -> None:
    words = line("Когда мы и", left=0.1, top=0.4)
    last = Word("и", words[-1].box, 0.5, 0)
    assert texts([*words[:-1], last]) == ["Когда мы и"]
    assert texts([*words[:-1], Word("ъ", last.box, 0.5, 0)]) == ["Когда мы"]


def test_the_slope_of_a_line_is_measured_along_its_words() -> None:
    falling = [
        Word(word.text, (word.box[0], word.box[1] + place, word.box[2], word.box[3] + place), 0.95, 0)
        for word, place in zip(
            line("Когда спишь на работе", left=0.1, top=0.3), (0, 0.02, 0.04, 0.05), strict=True
        )
    ]
    (level,) = candidates(line("Когда спишь на работе", left=0.1, top=0.4), SIZE)
    (sloping,) = candidates(falling, SIZE)
    (short,) = candidates(line("да", left=0.1, top=0.4), SIZE)
    assert level.slope == pytest.approx(0)
    assert sloping.slope is not None and sloping.slope > 0.05
    assert short.slope is None


def post(*extra: Word) -> list[Word]:
    words = line("Котик Мурзик", left=0.1, top=0.1) + line("@kotik_42", left=0.1, top=0.2, number=1)
    words += line("Сегодня я проспал работу", left=0.1, top=0.4, number=2)
    return [*words, *line("и мне ни капли не стыдно", left=0.1, top=0.5, number=3), *extra]


def test_who_wrote_a_post_is_told_apart_from_what_it_says() -> None:
    found = sorted(select(post(), SIZE), key=lambda one: one.box[1])
    assert [one.text for one in found] == ["Сегодня я проспал работу", "и мне ни капли не стыдно"]
    assert [one.author for one in found] == ["kotik_42", ""]


def test_an_account_that_is_answered_is_not_the_author() -> None:
    words = line("В ответ @sobaka", left=0.1, top=0.2) + line(
        "Сегодня я проспал работу", left=0.1, top=0.4, number=1
    )
    assert [one.author for one in select(words, SIZE) if one.text.startswith("Сегодня")] == [""]


def test_an_account_far_above_has_nothing_to_do_with_the_words() -> None:
    words = line("@kotik_42", left=0.1, top=0.05) + line(
        "Сегодня я проспал работу", left=0.1, top=0.8, number=1
    )
    assert [one.author for one in select(words, SIZE) if one.text.startswith("Сегодня")] == [""]


# --- the scorer


def by_hand(stored: dict[str, list], values: list[float]) -> float:  # type: ignore[type-arg]
    standard = [(v - m) / s for v, m, s in zip(values, stored["mean"], stored["scale"], strict=True)]
    hidden = []
    for unit in range(len(stored["hidden_bias"])):
        total = stored["hidden_bias"][unit]
        for place, value in enumerate(standard):
            total += value * stored["hidden"][place][unit]
        hidden.append(max(total, 0.0))
    logit = stored["output_bias"] + sum(h * w for h, w in zip(hidden, stored["output"], strict=True))
    return 1 / (1 + math.exp(-logit))


def test_the_scorer_computes_what_its_file_says() -> None:
    stored = json.loads(SCORER_FILE.read_text(encoding="utf-8"))
    generator = random.Random(3)
    values = [
        [m + 1.5 * s * generator.uniform(-1, 1) for m, s in zip(stored["mean"], stored["scale"], strict=True)]
        for _ in range(40)
    ]
    own = load_scorer().probabilities(np.array(values))
    np.testing.assert_allclose(own, [by_hand(stored, row) for row in values], atol=1e-9)
    assert own.max() - own.min() > 0.4  # the rows differ: nothing is equal by being constant


@st.composite
def pages(draw: st.DrawFn) -> list[Word]:
    words = []
    for number in range(draw(st.integers(1, 5))):
        left, top = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
        box = (left, top, draw(st.floats(left, 1)), draw(st.floats(top, 1)))
        text = draw(st.text(min_size=1, max_size=20).filter(lambda own: own.split() == [own]))
        words.append(Word(text, box, draw(st.floats(0, 1)), number // 2))
    return words


@settings(max_examples=80, deadline=None)
@given(words=pages())
def test_each_candidate_has_one_row_of_finite_features(words: list[Word]) -> None:
    found = candidates(words, SIZE)
    if found:
        values = features(found, SIZE)
        assert values.shape == (len(found), len(FEATURES))
        assert np.isfinite(values).all()
    assert len(select(words, SIZE, threshold=0.0)) == len(found)


def test_lines_are_compared_with_their_company() -> None:
    words = line("Когда спишь на работе", left=0.1, top=0.3) + line(
        "и видишь сон", left=0.1, top=0.4, number=1
    )
    far = line("ok", left=0.9, top=0.9, number=2)
    values = features(candidates(words + far, SIZE), SIZE)
    alike = values[:, FEATURES.index("lines alike near by")]
    assert alike[0] == alike[1] > alike[2] == 0
    assert values[:, FEATURES.index("lines above")].tolist() == sorted(
        values[:, FEATURES.index("lines above")]
    )
    assert values[2, FEATURES.index("latin beyond the picture's")] > 0


def test_a_scorer_of_other_features_is_refused(tmp_path: Path) -> None:
    stored = json.loads(SCORER_FILE.read_text(encoding="utf-8"))
    stored["features"] = stored["features"][:-1]
    (tmp_path / "old.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ValueError, match="train it again with 'python -m train_scripts line-scorer'"):
        load_scorer(tmp_path / "old.json")
