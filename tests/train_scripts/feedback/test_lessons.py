"""What people said as lessons: corrections, weights of marks, pairs of captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.common.errors import UserError
from tests.train_scripts.feedback.exports import CAPTION, row, write
from train_scripts.data.exports import read_export
from train_scripts.feedback.lessons import learn_from


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "it holds no rows"),
        ([row(None, correction="Кот."), row(None, rating=5)], "2 rows are without a picture"),
        ([row(rating=3)], "the marks of the other 1 neither like a caption nor tell two apart"),
    ],
)
def test_an_export_of_nothing_says_why(tmp_path: Path, rows: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(UserError, match=f"nothing to learn.*{why}"):
        learn_from(read_export(write(tmp_path / "out", rows)))


# --- what the rows teach ---


def lessons(tmp_path: Path, *rows: dict[str, Any]) -> Any:
    return learn_from(read_export(write(tmp_path / "out", rows)))


def test_a_correction_is_learnt_and_preferred(tmp_path: Path) -> None:
    found = lessons(tmp_path, row(correction="Рыжий кот.", rating=4))
    (lesson,) = found.lessons
    assert (lesson.text, lesson.weight, lesson.by_person) == ("Рыжий кот.", 1.0, True)
    (pair,) = found.pairs
    assert (pair.better, pair.worse, pair.weight) == ("Рыжий кот.", CAPTION, 1.0)


def test_corrections_of_one_picture_share_its_weight(tmp_path: Path) -> None:
    found = lessons(
        tmp_path,
        row(correction="Рыжий кот."),
        row(correction="Кот у окна.", user="b" * 16, corrected_at="2099-01-01T00:00:00+00:00"),
    )
    assert [one.weight for one in found.lessons] == [0.5, 0.5]
    assert found.corrections == {"images/0.jpg": "Кот у окна."}, "measured against the newest"


@pytest.mark.parametrize(("marks", "weight"), [((5,), 1.0), ((4,), 0.5), ((5, 5, 2), 0.5), ((3,), None)])
def test_marks_are_weights(tmp_path: Path, marks: tuple[int, ...], weight: float | None) -> None:
    rows = [row(rating=mark, user=str(number) * 16) for number, mark in enumerate(marks)]
    found = lessons(tmp_path, *rows, row("images/9.jpg", correction="Кот."))
    own = [one.weight for one in found.lessons if one.file_name == "images/0.jpg"]
    assert own == ([] if weight is None else [weight])


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        ({"a": 5}, {"a": 3}, "first"),
        ({"a": 2}, {"a": 3}, "second"),
        ({"a": 4}, {"a": 4}, None),
        ({"a": 5}, {"b": 4}, None),  # two people are not equally strict
        ({"a": 5}, {"b": 3}, "first"),
        ({"a": 2, "b": 5}, {"a": 4}, "second"),  # who marked both decides
    ],
)
def test_pairs_of_differently_marked_captions(
    tmp_path: Path, first: dict[str, int], second: dict[str, int], better: str | None
) -> None:
    rows = [
        row(caption=caption, rating=mark, user=user * 16)
        for caption, marks in (("first", first), ("second", second))
        for user, mark in marks.items()
    ]
    found = lessons(tmp_path, *rows, row("images/9.jpg", correction=CAPTION))
    assert [pair.better for pair in found.pairs] == ([] if better is None else [better])
