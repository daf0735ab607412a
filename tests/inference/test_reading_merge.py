"""Lines that several passes agree on and disagree on; the scorer against a computation of its own."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.reading.merge import (
    FEATURES,
    SCORER_FILE,
    candidates,
    features,
    load_scorer,
    overlap,
    select,
)
from inference.reading.tesseract import Word

SIZE = (1000, 500)


def line(text: str, *, left: float, top: float, number: int = 0, confidence: float = 0.95) -> list[Word]:
    """Words in a row, letters .02 wide and .08 high (20 by 40 pixels)."""
    words = []
    for token in text.split():
        right = left + 0.02 * len(token)
        words.append(Word(token, (left, top, right, top + 0.08), confidence, number))
        left = right + 0.02
    return words


def texts(passes: dict[str, list[Word]]) -> list[str]:
    return [found.text for found in candidates(passes, SIZE)]


def test_candidates_have_boxes_in_pixels() -> None:
    (only,) = candidates({"page": line("Когда спишь", left=0.1, top=0.5)}, SIZE)
    assert only.text == "Когда спишь"
    assert only.origin == "page"
    np.testing.assert_allclose(only.box, (100, 250, 320, 290))
    assert only.height == pytest.approx(40)


def test_a_line_is_split_where_columns_part() -> None:
    row = line("левый столбец", left=0.05, top=0.2) + line("правый столбец", left=0.6, top=0.2)
    assert texts({"page": row}) == ["левый столбец", "правый столбец"]


def test_words_come_from_the_left_whatever_order_they_were_seen_in() -> None:
    assert texts({"page": line("один два три", left=0.1, top=0.2)[::-1]}) == ["один два три"]


def test_specks_at_the_ends_go_and_those_in_the_middle_stay() -> None:
    words = line("щъ Когда кщ спишь жь", left=0.1, top=0.2)
    words = [
        word if word.text in {"Когда", "спишь"} else Word(word.text, word.box, 0.3, word.line)
        for word in words
    ]
    assert texts({"page": words}) == ["Когда кщ спишь"]


def test_the_mark_that_ends_a_sentence_stays() -> None:
    assert texts({"page": line("И тут я понял ...", left=0.1, top=0.2)}) == ["И тут я понял ..."]


def test_a_line_of_specks_is_no_candidate() -> None:
    assert texts({"page": line("| ~ _", left=0.1, top=0.2), "sparse": []}) == []
    assert select({"page": [], "sparse": []}, SIZE) == []


def test_what_all_passes_saw_is_one_line() -> None:
    passes = {
        name: line("Когда спишь на работе", left=0.1, top=0.4) for name in ("page", "sparse", "sparse-large")
    }
    (only,) = select(passes, SIZE)
    assert only.text == "Когда спишь на работе"
    assert only.confidence > 0.9


def test_the_whole_line_wins_over_its_pieces() -> None:
    whole = line("Когда спишь на работе", left=0.1, top=0.4)
    passes = {"page": whole[:2], "sparse": whole, "bright": whole[2:]}
    assert [found.text for found in select(passes, SIZE)] == ["Когда спишь на работе"]


def test_a_confident_reading_wins_over_a_doubtful_one_of_the_same_place() -> None:
    passes = {
        "page": line("Котда слишь нa рaбoге", left=0.1, top=0.4, confidence=0.4),
        "sparse": line("Когда спишь на работе", left=0.1, top=0.4),
        "sparse-large": line("Когда спишь на работе", left=0.1, top=0.4),
    }
    assert [found.text for found in select(passes, SIZE)] == ["Когда спишь на работе"]


def test_letters_of_a_photo_are_refused() -> None:
    specks = line("кщя ЬП", left=0.5, top=0.1, confidence=0.5)
    passes = {"page": line("Когда спишь на работе", left=0.1, top=0.7), "sparse": specks}
    passes["sparse"] = specks + line("Когда спишь на работе", left=0.1, top=0.7, number=1)
    assert [found.text for found in select(passes, SIZE)] == ["Когда спишь на работе"]


def test_a_gutter_taken_for_three_wide_letters_is_refused() -> None:
    gutter = [Word("ООО", (0.0, 0.48, 1.0, 0.52), 0.9, 0)]
    passes = dict.fromkeys(("page", "sparse", "sparse-large", "bright"), gutter)
    assert select(passes, SIZE, threshold=0.0) == []


def test_the_threshold_decides_how_sure_a_line_must_be() -> None:
    passes = {"page": line("Когда спишь на работе", left=0.1, top=0.4)}
    assert len(select(passes, SIZE, threshold=0.0)) == 1
    assert select(passes, SIZE, threshold=1.0) == []


def test_alphabets_follow_the_picture() -> None:
    russian = {name: line("КОГДА СПИШЬ HE ТАМ", left=0.1, top=0.4) for name in ("page", "sparse")}
    assert [found.text for found in select(russian, SIZE)] == ["КОГДА СПИШЬ НЕ ТАМ"]
    english = {name: line("WHEN HE СOMES HOME", left=0.1, top=0.4) for name in ("page", "sparse")}
    assert [found.text for found in select(english, SIZE)] == ["WHEN HE COMES HOME"]


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


def test_each_candidate_has_one_row_of_finite_features() -> None:
    passes = {
        "page": line("Когда спишь на работе", left=0.1, top=0.4),
        "bright": line("1984 КОТов", left=0.1, top=0.1) + line("©@ ok", left=0.6, top=0.8, number=1),
    }
    found = candidates(passes, SIZE)
    values = features(found, SIZE)
    assert values.shape == (len(found), len(FEATURES))
    assert np.isfinite(values).all()


def test_agreement_is_counted_over_other_passes_at_the_same_place() -> None:
    same = line("Когда спишь", left=0.1, top=0.4)
    elsewhere = line("Когда спишь", left=0.1, top=0.8)
    other_words = line("Снова вдруг", left=0.1, top=0.4)
    passes = {"page": same, "sparse": same, "sparse-large": elsewhere, "bright": other_words}
    row = features(candidates(passes, SIZE), SIZE)[0]
    assert row[FEATURES.index("passes that agree")] == 1
    assert row[FEATURES.index("passes that see something here")] == 2
    assert row[FEATURES.index("best agreement")] == 1


def test_a_scorer_of_other_features_is_refused(tmp_path: Path) -> None:
    stored = json.loads(SCORER_FILE.read_text(encoding="utf-8"))
    stored["features"] = stored["features"][:-1]
    (tmp_path / "old.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ValueError, match="train it again with 'python -m train_scripts line-scorer'"):
        load_scorer(tmp_path / "old.json")


boxes = st.tuples(*[st.floats(0, 100)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1)
)


@given(one=boxes, other=boxes)
def test_overlap_is_symmetric_and_a_share(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> None:
    share = overlap(one, other)
    assert share == pytest.approx(overlap(other, one))
    assert 0 <= share <= 1 + 1e-9
    assert overlap(one, one) == pytest.approx(1)
    assert overlap(one, (one[2], one[1], one[2] + 5, one[3])) == 0
