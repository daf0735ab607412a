"""The patterns that a linguist writes."""

from __future__ import annotations

import re

import pytest

from inference.russian.patterns import alternatives


@pytest.mark.parametrize(
    ("pattern", "matched", "refused"),
    [
        ("день назад", ["день назад"], ["день назад.", "деньназад", "день"]),
        ("минут* назад", ["минут назад", "минуты назад"], ["минут и назад", "мину назад"]),
        ("отмет* ?нравится", ["отметок нравится", "отметка «нравится"], ["отметка, «нравится"]),
        ("твит ...", ["твит", "твит от кота"], ["твиттер", "кот твит"]),
        ("тыс.", ["тыс."], ["тыс", "тысч"]),
    ],
)
def test_a_pattern_matches(pattern: str, matched: list[str], refused: list[str]) -> None:
    expression = re.compile(alternatives([pattern]))
    assert all(map(expression.fullmatch, matched))
    assert not any(map(expression.fullmatch, refused))


def test_the_longest_of_some_patterns_is_taken() -> None:
    found = re.search(alternatives(["тыс", "тыс.", "млн"]), "15 тыс. лайков")
    assert found is not None
    assert found[0] == "тыс."
