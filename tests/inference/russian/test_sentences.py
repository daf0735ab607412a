"""Sentences are written in one place, from their parts."""

from __future__ import annotations

import pytest

from inference.russian.sentences import Piece, Quotation, Sentence, capitalised, joined, told, write


def test_a_row_has_commas_and_one_conjunction() -> None:
    assert joined([]) == ""
    assert joined(["а"]) == "а"
    assert joined(["а", "б"]) == "а и б"
    assert joined(iter(["а", "б", "в"])) == "а, б и в"


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["кот", ",", "мем", "(", "кот", ")", ":", "он"], "Кот, мем (кот): он."),
        (["кот", "!", "он", "...", "он"], "Кот! Он... Он."),
        (["кот", "—", "мем"], "Кот — мем."),
        (["3D-кот"], "3D-кот."),
        # Loose marks at the ends and pieces of nothing are no part of it.
        ([",", "кот", Quotation(""), "", ":"], "Кот."),
        (["кот", ":", Quotation(""), "."], "Кот."),
        ([":", Quotation(""), "."], ""),
        ([], ""),
        # The full stop stands once, behind the closing mark; three dots are no full stop.
        (["кот", Quotation("Да.")], 'Кот "Да".'),
        (["кот", Quotation("Да."), "."], 'Кот "Да".'),
        (["кот", Quotation("Да."), "и", "мем"], 'Кот "Да." и мем.'),
        (["кот", Quotation("Да..."), "."], 'Кот "Да...".'),
        ([Quotation("Да"), "кот"], '"Да" кот.'),
        ([Quotation(".")], '".".'),
    ],
)
def test_pieces_are_written_as_a_person_writes_them(pieces: list[Piece], text: str) -> None:
    assert write(pieces) == text


def test_a_sentence_is_written_in_the_order_of_its_parts() -> None:
    quoted = Quotation("да")
    assert str(Sentence("на фото", body=("кот", "сидит"))) == "На фото кот сидит."
    assert str(Sentence("на первом кадре", ("подпись",), body=(quoted,))) == 'На первом кадре подпись: "да".'
    assert str(Sentence(lead=("твит",), author="kot", body=(quoted, "."))) == 'Твит kot: "да".'
    assert str(Sentence()) == ""
    assert told([Sentence(body=("мем",)), Sentence(), Sentence(body=("кот",))]) == "Мем. Кот."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("на фото кот. он спит... или нет? да", "На фото кот. Он спит... Или нет? Да"),
        # What is quoted has the letters that were read, and no sentence begins behind it.
        ('твит: "да. нет." от «а. б» и „в. г“. мем', 'Твит: "да. нет." от «а. б» и „в. г“. Мем'),
        ('"да" и "нет. мем', '"да" и "нет. Мем'),
        # An abbreviation ends no sentence, nor does a full stop within a word.
        ("кот (прим. ред.), т.е. пёс. сайт vk.com", "Кот (прим. ред.), т.е. пёс. Сайт vk.com"),
        ("3 кота. 4 пса. ёж", "3 кота. 4 пса. Ёж"),
        ("", ""),
    ],
)
def test_sentences_begin_with_capitals(text: str, expected: str) -> None:
    assert capitalised(text) == expected
