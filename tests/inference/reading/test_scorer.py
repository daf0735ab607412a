"""Which lines count; the scorer against a computation of its own."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.reading.candidates import candidates
from inference.reading.scorer import FEATURES, SCORER_FILE, features, load_scorer
from inference.reading.words import Word
from tests.inference.reading.printed import SIZE, line, message


def test_plain_words_are_one_line_that_is_quoted() -> None:
    (only,) = message(line("Когда спишь на работе", left=0.1, top=0.4))
    assert only.text == "Когда спишь на работе"
    assert only.confidence > 0.8


def test_letters_of_a_photo_are_refused() -> None:
    specks = line("кщя ЬП", left=0.7, top=0.1, number=1, confidence=0.3)
    words = line("Когда спишь на работе", left=0.1, top=0.7) + specks
    assert [found.text for found in message(words)] == ["Когда спишь на работе"]


def test_the_time_of_a_message_is_less_likely_quoted_than_its_words() -> None:
    words = line("Ты где вообще сейчас", left=0.1, top=0.4) + line("21:47", left=0.7, top=0.5, number=1)
    values = features(candidates(words, SIZE), SIZE)
    message, clock = load_scorer().probabilities(values)
    assert clock < message


def test_where_nothing_was_read_nothing_is_quoted() -> None:
    assert message([]) == []


def test_the_threshold_decides_how_sure_a_line_must_be() -> None:
    words = line("Когда спишь на работе", left=0.1, top=0.4)
    assert len(message(words, threshold=0.0)) == 1
    assert message(words, threshold=1.0) == []


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
    assert [found.text for found in message(words)] == ["Когда спишь на работе"]


@pytest.mark.parametrize("text", ["Он пришёл час назад домой", "?!", "отметок 5 и выше", "..."])
def test_words_that_only_look_like_it_stay(text: str) -> None:
    words = line(text, left=0.1, top=0.4)
    (furniture,) = message(line("час назад", left=0.1, top=0.4), threshold=0.0)
    (own,) = message(words, threshold=0.0)
    assert furniture.confidence == 0 < own.confidence


def by_hand(stored: dict[str, Any], values: list[float]) -> float:
    standard = [(v - m) / s for v, m, s in zip(values, stored["mean"], stored["scale"], strict=True)]
    hidden = []
    for unit in range(len(stored["hidden_bias"])):
        total = stored["hidden_bias"][unit]
        for place, value in enumerate(standard):
            total += value * stored["hidden"][place][unit]
        hidden.append(max(total, 0.0))
    logit = stored["output_bias"] + sum(h * w for h, w in zip(hidden, stored["output"], strict=True))
    return 1 / (1 + math.exp(-float(logit)))


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
    assert len(message(words, threshold=0.0)) == len(found)


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
    with pytest.raises(ValueError, match=r"train it again with '.*python -m train_scripts line-scorer'"):
        load_scorer(tmp_path / "old.json")
