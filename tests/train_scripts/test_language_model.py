"""The language model of one's own learns captions with the words read, goes on, and can be built on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.tokenizers.gpt2 import Gpt2Tokenizer
from tests.train_scripts.drawn_data import drawn_data
from train_scripts.__main__ import app
from train_scripts.language_model.train import (
    LanguageModelRecipe,
    Text,
    train_language_model,
    written_on_photos,
)
from train_scripts.training.building import build_model
from train_scripts.training.config import load_config

PHOTOS = ["Кот спит на крыше.", "Собака бежит по траве.", "Дети играют в мяч.", "Женщина читает книгу."]
MEMES = [Text('Надпись: "Ура". Ниже кот.', "УРА"), Text("Собака без надписей.")]
TINY = LanguageModelRecipe(vocabulary=300, width=16, layers=1, heads=2, positions=96, meme_epochs=2)


def test_each_second_photo_quotes_words_that_it_is_told() -> None:
    texts = written_on_photos(PHOTOS, seed=1)
    assert [bool(text.read) for text in texts] == [True, False, True, False]
    for photo, text in zip(PHOTOS, texts, strict=True):
        assert photo in text.caption
        assert text.read + "." in PHOTOS or not text.read
        assert (f'"{text.read}"' in text.caption) == bool(text.read)
    assert texts == written_on_photos(PHOTOS, seed=1)


def test_a_captioner_is_built_on_it(tmp_path: Path) -> None:
    losses = train_language_model(tmp_path, PHOTOS, MEMES, TINY)
    assert len(losses) == 3
    model = tmp_path / "model"
    tokenizer = Gpt2Tokenizer.load(model)
    assert tokenizer.decode(tokenizer.encode("Кот спит.")) == "Кот спит."
    config = load_config(
        "clipcap-small",
        [
            f"language_model={model}",
            "encoder.weights=random",
            "decoder={width: 16, layers: 1, heads: 2, positions: 96}",
        ],
    )
    captioner, _ = build_model(config, PHOTOS, None, [])
    assert captioner.decoder.vocabulary == len(tokenizer)
    assert not any(weight.requires_grad for weight in captioner.decoder.get_submodule("gpt").parameters())


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole = train_language_model(tmp_path / "whole", PHOTOS, MEMES, TINY)
    state = tmp_path / "again" / "state.pt"
    state.parent.mkdir()
    # A run that ended after two of three epochs left what the whole one had then.
    shorter = train_language_model(tmp_path / "again", PHOTOS, MEMES, TINY, stop_after=2)
    assert shorter == whole[:2]
    assert not (state.parent / "model").exists()
    assert train_language_model(tmp_path / "again", PHOTOS, MEMES, TINY) == whole


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
