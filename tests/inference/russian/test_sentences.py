"""Words put together."""

from __future__ import annotations

from inference.russian.sentences import joined


def test_a_row_has_commas_and_one_conjunction() -> None:
    assert joined([]) == ""
    assert joined(["а"]) == "а"
    assert joined(["а", "б"]) == "а и б"
    assert joined(iter(["а", "б", "в"])) == "а, б и в"
