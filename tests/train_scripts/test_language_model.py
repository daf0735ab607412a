"""The language model of one's own learns captions with the words read, goes on, and can be built on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.reading.words import Word
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.words_read import slot_names
from tests.train_scripts.drawn_data import drawn_data
from train_scripts.__main__ import app
from train_scripts.data.dataset import read_split
from train_scripts.language_model.texts import meme_texts
from train_scripts.language_model.train import (
    LanguageModelRecipe,
    Text,
    train_language_model,
    written_on_photos,
)
from train_scripts.meme_small.readings import kept_words
from train_scripts.pictures import open_picture
from train_scripts.training.building import build_model
from train_scripts.training.config import load_config

PHOTOS = ["Кот спит на крыше.", "Собака бежит по траве.", "Дети играют в мяч.", "Женщина читает книгу."]
MEMES = [
    (Text('Надпись: "<line0>". Ниже кот.', 1), Text('Надпись: "Ура". Ниже кот.')),
    (Text("Собака без надписей."), Text("Собака без надписей.")),
]
SPELLING = [unread.caption for _, unread in MEMES]
TINY = LanguageModelRecipe(vocabulary=300, width=16, layers=1, heads=2, positions=96, meme_epochs=2)


def test_each_second_photo_quotes_lines_that_it_is_told_of() -> None:
    texts = written_on_photos(PHOTOS, seed=1)
    assert [bool(text.lines) for text in texts] == [True, False, True, False]
    for photo, text in zip(PHOTOS, texts, strict=True):
        assert photo in text.caption
        quote = " ".join(slot_names(text.lines))
        assert (f'"{quote}"' in text.caption) == bool(text.lines)
    assert texts == written_on_photos(PHOTOS, seed=1)


def test_memes_are_learned_with_their_lines_as_slots_and_without(tmp_path: Path) -> None:
    rows = drawn_data(tmp_path / "data")
    names = sorted({row["file_name"] for row in rows})
    read = [Word("УРА", (0.2, 0.1, 0.6, 0.2), 0.99, 0)]
    kept = [kept_words(name, open_picture(tmp_path / "data" / name), read) for name in names]
    readings = tmp_path / "readings.jsonl"
    readings.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    data = [replace(row, text='Сверху "Ура".') for row in read_split(tmp_path / "data", "train")]
    texts = meme_texts(data, tmp_path / "data", readings, held_out=3)
    assert texts == [(Text('Сверху "<line0>".', 1), Text('Сверху "Ура".'))] * 5
    assert len(meme_texts(data, tmp_path / "data", readings)) == 8


def test_a_captioner_is_built_on_it(tmp_path: Path) -> None:
    losses = train_language_model(tmp_path, PHOTOS, MEMES, SPELLING, TINY)
    assert len(losses) == 4
    model = tmp_path / "model"
    tokenizer = Gpt2Tokenizer.load(model)
    assert tokenizer.decode(tokenizer.encode("Кот спит.")) == "Кот спит."
    assert len(tokenizer.slots) == TINY.slots
    assert tokenizer.marks is not None
    config = load_config(
        "clipcap-small",
        [
            f"language_model={model}",
            "encoder.weights=random",
            "decoder={width: 16, layers: 1, heads: 2, positions: 96, train_gpt: false}",
        ],
    )
    captioner, _ = build_model(config, PHOTOS, None, [])
    assert captioner.decoder.vocabulary == len(tokenizer)
    assert not any(weight.requires_grad for weight in captioner.decoder.get_submodule("gpt").parameters())


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole = train_language_model(tmp_path / "whole", PHOTOS, MEMES, SPELLING, TINY)
    state = tmp_path / "again" / "state.pt"
    state.parent.mkdir()
    # A run that ended after two of three epochs left what the whole one had then.
    shorter = train_language_model(tmp_path / "again", PHOTOS, MEMES, SPELLING, TINY, stop_after=2)
    assert shorter == whole[:2]
    assert not (state.parent / "model").exists()
    assert train_language_model(tmp_path / "again", PHOTOS, MEMES, SPELLING, TINY) == whole


def test_a_meme_that_was_never_read_is_named(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    (tmp_path / "readings.jsonl").write_text("", encoding="utf-8")
    photos = tmp_path / "photos.jsonl"
    photos.write_text("".join(json.dumps({"text": text}) + "\n" for text in PHOTOS), encoding="utf-8")
    command = ["language-model", str(tmp_path / "data"), "--photos", str(photos)]
    done = CliRunner().invoke(app, [*command, "--readings", str(tmp_path / "readings.jsonl")])
    assert done.exit_code == 1
    assert "images/0.png was never read: read the pictures with" in done.output.replace("\n", " ")


@pytest.mark.parametrize("text", ["", '{"image": 1}\n'])
def test_a_file_without_captions_is_one_sentence(text: str, tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    (tmp_path / "readings.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "photos.jsonl").write_text(text, encoding="utf-8")
    command = ["language-model", str(tmp_path / "data"), "--photos", str(tmp_path / "photos.jsonl")]
    done = CliRunner().invoke(app, [*command, "--readings", str(tmp_path / "readings.jsonl")])
    assert done.exit_code == 1
    assert "holds no captions" in done.output.replace("\n", " ")
