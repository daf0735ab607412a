"""Sentences that a preposition gives away."""

from __future__ import annotations

import pytest

from inference.russian.grammar import is_well_formed


@pytest.mark.parametrize(
    "sentence",
    [
        "мем из двух кадров .",
        "мем из 4 кадров .",
        "мем на английском .",
        "текст сверху на английском :",
        "мем на белом фоне .",
        "мем на английском языке .",
        "на фото , на котором изображён кот , подпись :",
        "надпись на чёрной футболке :",
        "картинка поделена на два кадра .",
        "картинка поделена на пять частей .",
        "пост в вк :",
        "мем с котом из tiktok .",
        "кот в тени под столом .",
        "на второй , сзади , надпись :",
        "фотография с едва заметной тенью .",
        "подпись :",
        "",
    ],
)
def test_what_people_write_is_well_formed(sentence: str) -> None:
    assert is_well_formed(sentence.split())


@pytest.mark.parametrize(
    "sentence",
    [
        "мем на двух кадров .",
        "мем из мем на котором изображена подпись :",
        "мем на из твиттера .",
        "мем на белом из комикса .",
        "текст на твиттера :",
        "подпись : подпись :",
        "мем из .",
    ],
)
def test_what_nobody_writes_is_not(sentence: str) -> None:
    assert not is_well_formed(sentence.split())
