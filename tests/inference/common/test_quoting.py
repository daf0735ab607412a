"""What of a picture's words is left to say after its description."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.common.quoting import unquoted


@pytest.mark.parametrize(
    ("text", "blocks", "left"),
    [
        ("На фото кот.", ["КОТ", "пёс"], ["КОТ", "пёс"]),  # named, not quoted
        ('Подпись: "кот".', ["КОТ", "пёс"], ["пёс"]),
        ("Надписи: «Ёж!», “да”, „нет“.", ["еж", "Да...", "— НЕТ"], []),  # any marks, letters as they are
        ('Подпись: "два". На втором кадре: "раз".', ["Раз", "Два"], []),  # in any order
        ('Подпись: "раз два".', ["Раз", "два", "два"], ["два"]),  # the picture has it twice
        ('Подпись: "За те деньги".', ["Аня 12 ч За те деньги. Ответить"], ["Аня 12 ч", "Ответить"]),
        ('Подпись: "А кто мог".', ["А >то мог"], []),  # another spelling of the same
        ('Подпись: "потому что".', ["по тому что", "окно"], ["окно"]),
        ('Подпись: "я". Подпись: "кто я".', ["кто я", "я"], []),  # the long one first
        ('Твит пользователя anna_k: "ура".', ["@anna_k", "ура", "@anna"], ["@anna"]),
        ('Подпись: "ура".', ["УРА", "?!", "  "], ["?!"]),  # marks alone are words too
        ('Подпись: "ура?!".', ["УРА", "?!"], []),
        ('Подпись: "раз.', ["раз\nдва"], ["раз\nдва"]),  # lines stay lines; nothing is quoted here
        ("", [], []),
    ],
)
def test_what_no_quotation_repeats_is_left(text: str, blocks: list[str], left: list[str]) -> None:
    assert unquoted(text, blocks) == left


@given(
    st.lists(st.text(alphabet="абё 1.-", max_size=30).map(str.strip).filter(bool), max_size=5), st.randoms()
)
def test_a_description_that_quotes_all_leaves_nothing(blocks: list[str], chance: random.Random) -> None:
    quoted = [f'подпись: "{block}"' for block in blocks]
    chance.shuffle(quoted)
    assert unquoted(". ".join(quoted), blocks) == []
    worded = [block for block in blocks if any(map(str.isalnum, block))]
    assert [block for block in unquoted("Кот", blocks) if block in worded] == worded
