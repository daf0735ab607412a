"""JSON that a person reads is the same JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.common.json_text import WIDTH, readable

PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(PLAIN, lambda own: st.lists(own) | st.dictionaries(st.text(), own), max_leaves=40)


@given(VALUES)
def test_nothing_is_lost(value: Any) -> None:
    assert json.loads(readable(value)) == value


def test_numbers_stay_on_one_line_and_tables_open() -> None:
    numbers = list(range(200))
    long = {f"слово {number}": number for number in range(20)}
    text = readable({"mean": [0.5, 0.25], "numbers": numbers, "short": {"a": 1}, "long": long, "none": {}})
    lines = text.splitlines()
    assert ' "mean": [0.5, 0.25],' in lines
    assert f' "numbers": {numbers},' in lines
    assert ' "short": {"a": 1},' in lines
    assert '  "слово 7": 7,' in lines
    assert lines[-2:] == [' "none": {}', "}"]
    assert text.endswith("}\n")


@pytest.mark.parametrize(("rows", "lines"), [(2, 1), (60, 62)])
def test_a_list_of_tables_has_a_line_for_each_where_it_is_long(rows: int, lines: int) -> None:
    text = readable([{"epoch": number} for number in range(rows)])
    assert len(text.splitlines()) == lines
    assert all(len(line) <= WIDTH for line in text.splitlines())
