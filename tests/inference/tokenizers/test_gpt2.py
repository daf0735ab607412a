"""GPT-2's tokenizer from the files of a Hugging Face folder, against that library's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers.models.gpt2.tokenization_gpt2 import GPT2Tokenizer

from inference.tokenizers.base import load_tokenizer
from inference.tokenizers.gpt2 import Gpt2Tokenizer

TEXTS = ["Кот сидит на столе.", "Кот спит, а собака — нет!", "мем про кота и собаку 2024"] * 3


def folder_of(tmp_path: Path, specials: list[str]) -> Path:
    trained = ByteLevelBPETokenizer(add_prefix_space=False)
    trained.train_from_iterator(TEXTS, vocab_size=400, special_tokens=specials, show_progress=False)
    trained.save_model(str(tmp_path))  # vocab.json and merges.txt, as ruGPT-3 has them
    return tmp_path


def test_it_says_what_hugging_face_says(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["<unk>", "<s>", "</s>", "<pad>"])
    ours = load_tokenizer("gpt2", folder)
    theirs = GPT2Tokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    for text in (*TEXTS, "Ёжик 😀 \n в  тумане", ""):
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False)
        assert ours.decode([ours.bos, *ids, ours.eos, ours.pad]) == text.strip()
    assert (ours.bos, ours.eos, ours.pad) == (1, 2, 3)
    assert len(ours) == len(theirs.get_vocab())


def test_one_end_token_serves_for_all_in_the_english_model(tmp_path: Path) -> None:
    ours = Gpt2Tokenizer.load(folder_of(tmp_path, ["<|endoftext|>"]))
    assert ours.bos == ours.eos == ours.pad == 0


def test_markers_are_added_behind_the_vocabulary_and_kept(tmp_path: Path) -> None:
    tokenizer = Gpt2Tokenizer.load(folder_of(tmp_path, ["<s>", "</s>"]))
    size = len(tokenizer)
    assert tokenizer.add("<IMG>", "<DESC>") == [size, size + 1]
    assert tokenizer.add("<DESC>") == [size + 1]
    saved = tmp_path / "saved"
    saved.mkdir()
    tokenizer.save(saved)
    again = load_tokenizer("gpt2", saved)
    assert len(again) == size + 2
    assert again.encode("<IMG>кот") == [size, *tokenizer.encode("кот")]


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no tokenizer: it needs tokenizer\.json, or vocab"):
        load_tokenizer("gpt2", tmp_path)
    with pytest.raises(ValueError, match="has no end token"):
        Gpt2Tokenizer.load(folder_of(tmp_path, ["<x>"]))


def test_lines_read_and_quotation_marks_have_tokens_of_their_own(tmp_path: Path) -> None:
    tokenizer = Gpt2Tokenizer.load(folder_of(tmp_path, ["<pad>", "<s>", "</s>", "<unk>"]))
    assert (tokenizer.slots, tokenizer.marks) == ([], None)
    before = len(tokenizer)
    tokenizer.add_slots(4)
    tokenizer.save(tmp_path)
    again = Gpt2Tokenizer.load(tmp_path)
    assert again.slots == tokenizer.slots == list(range(before, before + 4))
    assert again.marks is not None
    opens, closes = again.marks
    text = 'Кот: "<line0> <line2>". Надпись "мем".'
    ids = again.encode(text)
    assert again.decode(ids) == text
    first = ids.index(opens)
    assert ids[first : first + 4] == [opens, again.slots[0], again.slots[2], closes]
    assert (ids.count(opens), ids.count(closes)) == (2, 2)


def test_other_quotation_marks_are_known_where_lines_are_quoted(tmp_path: Path) -> None:
    learned = ByteLevelBPETokenizer(add_prefix_space=False)
    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    texts = ["Кот «Мурзик» и „кот“."] * 9
    learned.train_from_iterator(texts, vocab_size=400, special_tokens=specials, show_progress=False)
    learned.save_model(str(tmp_path))
    tokenizer = Gpt2Tokenizer.load(tmp_path)
    assert tokenizer.other_marks == []
    tokenizer.add_slots(1)
    said = tokenizer.encode("Кот «Мурзик» и „кот“.")
    left = tokenizer.decode([token for token in said if token not in tokenizer.other_marks])
    assert not set("«»„“") & set(left)
