"""Word vocabularies: cut, counted, joined again, read from the originals' JSON files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.tokenizers.base import load_tokenizer
from inference.tokenizers.words import WordTokenizer, join_words, split_words

CAPTIONS = ["Кот сидит на столе.", "Кот спит.", "Собака, которая сидит (и молчит)."]


def test_words_are_lower_cased_and_marks_stand_alone() -> None:
    assert split_words("Кот, который Спит!") == ["кот", ",", "который", "спит", "!"]
    assert split_words('Надпись "Привет"') == ["надпись", "``", "привет", "''"]
    assert split_words("Мем. На кадре кот.") == ["мем", ".", "на", "кадре", "кот", "."]
    assert split_words("В т.ч. <line0>. Кот") == ["в", "т.ч", ".", "<line0>", ".", "кот"]


def test_words_become_a_sentence_again() -> None:
    for text in (
        "Кот, который спит.",
        "На картинке надпись: «привет!»",
        "Собака (и кот) ждут... Кого?",
        "50% котов, не меньше!",
    ):
        quoted = text.replace("«", '"').replace("»", '"')
        assert join_words(split_words(quoted)) == quoted.lower()
    assert join_words([]) == ""


def test_a_vocabulary_counts_what_it_takes() -> None:
    words = WordTokenizer.from_captions(CAPTIONS, threshold=2)
    assert words.words[:4] == ("<pad>", "<start>", "<end>", "<unk>")
    assert words.words[4:] == ("кот", "сидит", ".")
    assert (words.pad, words.bos, words.eos, words.unk) == (0, 1, 2, 3)
    assert words.encode("Кот спит.") == [4, 3, 6]
    assert words.decode([1, 4, 5, 6, 2, 0]) == "кот сидит."
    assert words.decode([4, 0, 5, 6]) == words.decode([4, 2, 5, 6]) == "кот"
    assert len(WordTokenizer.from_captions(CAPTIONS)) == 4 + 13
    assert words.has_start
    few = WordTokenizer.from_captions([*CAPTIONS, "сидит"], limit=6)
    assert few.words[4:] == ("сидит", ".")


def test_the_navec_baseline_has_only_padding_and_unknown() -> None:
    words = WordTokenizer.from_captions(CAPTIONS, specials=("<pad>", "<unk>"))
    assert (words.pad, words.bos, words.eos, words.unk) == (0, 0, 0, 1)
    assert not words.has_start


@pytest.mark.parametrize(
    "written",
    [
        {"0": "<pad>", "1": "<start>", "2": "<end>", "3": "<unk>", "4": "кот"},
        {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 3, "кот": 4},
        {"4": "кот", "3": "<unk>", "2": "<end>", "1": "<start>", "0": "<pad>"},
        ["<pad>", "<start>", "<end>", "<unk>", "кот"],
    ],
)
def test_the_originals_json_files_are_read(written: object, tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    words = WordTokenizer.read(path)
    assert words.words == ("<pad>", "<start>", "<end>", "<unk>", "кот")
    words.save(tmp_path)
    assert load_tokenizer("words", tmp_path).decode([1, 4, 2]) == "кот"


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ('{"0": "<pad>", "2": "кот"}', "is no vocabulary"),
        ("не json", "is no vocabulary"),
        ("7", "is no vocabulary"),
        ('["кот", "пёс"]', "has no padding word <pad> and no end word"),
        ('["<pad>", "кот", "кот"]', "holds 'кот' twice"),
    ],
)
def test_other_files_are_refused(written: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(written, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        WordTokenizer.read(path)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vocabulary\.json is missing"):
        load_tokenizer("words", tmp_path)
    with pytest.raises(ValueError, match="Unknown tokenizer 'bytes'"):
        load_tokenizer("bytes", tmp_path)
