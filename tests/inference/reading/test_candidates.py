"""Words to lines."""

from __future__ import annotations

import numpy as np
import pytest

from inference.reading.candidates import candidates
from inference.reading.words import Word
from tests.inference.reading.printed import SIZE, line


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
