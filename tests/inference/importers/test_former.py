"""A checkpoint of a former format is read, says the same, and is rewritten by one command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from torch import nn
from typer.testing import CliRunner, Result

from inference.__main__ import app
from inference.captioners.captioner import load_captioner
from inference.checkpoints import manifest
from inference.checkpoints.config import CheckpointConfig, Lineage, TrainingRecord
from inference.checkpoints.format import read_config, read_training
from inference.checkpoints.modules import save_checkpoint
from inference.common.types import DecodingOptions
from tests.disk import files_of_at_most
from tests.drawing import draw_meme

SHIPPED = Path(__file__).parents[3] / "checkpoints" / "meme-small"
PICTURES = [draw_meme("caption_bar", "КОГДА КОТ ПРОСНУЛСЯ"), draw_meme("photo"), draw_meme("two_frames")]


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)], catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def as_format_1(folder: Path) -> None:
    """One config.json that holds everything, as this program wrote it once."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    words = json.loads((folder / "tokenizer.json").read_text("utf-8"))["words"]
    table = json.loads((folder / "concepts.json").read_text("utf-8"))
    named = {word: place for place, own in enumerate(table["concepts"].values()) for word in own}
    named |= dict.fromkeys(table["unknown"], -2) | dict.fromkeys(table["free"], -1)
    config |= json.loads((folder / "training.json").read_text("utf-8"))
    config |= {"format": 1, "concepts": [*table["concepts"]]}
    config["word_concepts"] = [named[word] for word in words]
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / "concepts.json").unlink()
    (folder / "training.json").unlink()
    weights = manifest.entry_of(folder / "model.safetensors")
    (folder / "manifest.json").write_text(manifest.render({"model.safetensors": weights}), encoding="utf-8")


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The shipped checkpoint as it was in format 1."""
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "former"))
    as_format_1(folder)
    assert len((folder / "config.json").read_text("utf-8").splitlines()) > 4000
    return folder


def test_the_former_format_says_the_same(former: Path) -> None:
    before, now = (load_captioner(folder.name, folder.parent) for folder in (former, SHIPPED))
    assert before.checkpoint == now.checkpoint
    said = before.caption(PICTURES)
    assert [one.text for one in said] == [one.text for one in now.caption(PICTURES)]
    assert any("КОГДА КОТ ПРОСНУЛСЯ" in one.text for one in said)
    assert read_training(former) == read_training(SHIPPED)
    assert read_config(former) == read_config(SHIPPED)


def test_it_is_rewritten_in_its_place_to_what_ships(former: Path) -> None:
    done = convert(former)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{former}: in format 2, with the same weights\n"
    assert contents(former) == contents(SHIPPED)
    assert convert(former).exit_code == 0
    assert contents(former) == contents(SHIPPED), "a second time changes nothing"


def test_an_architecture_without_tables_is_rewritten_too(tmp_path: Path) -> None:
    own = {"words": "none"}
    config = CheckpointConfig("encoder-decoder", {"kind": "eye"}, {}, DecodingOptions(), own, "resnet34-lstm")
    lineage = Lineage("f" * 64, "2026-01-01", data=({"rows": 8},), ancestors=("e" * 64,))
    record = TrainingRecord({"notes": ["few"]}, {"bleu": 0.5}, lineage, {"format": "clipcap"})
    save_checkpoint(tmp_path, nn.Linear(2, 2), config, record)
    now = contents(tmp_path)
    stored = {**config.to_dict(), **record.to_dict(), "format": 1}
    (tmp_path / "config.json").write_text(json.dumps(stored), encoding="utf-8")
    (tmp_path / "training.json").unlink()
    assert (read_config(tmp_path), read_training(tmp_path)) == (config, record)
    assert convert(tmp_path).exit_code == 0
    assert contents(tmp_path) == now


def test_it_is_rewritten_to_a_new_folder(former: Path, tmp_path: Path) -> None:
    before = contents(former)
    done = convert(former, "--out", "new", "--models-dir", tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert contents(former) == before
    assert contents(tmp_path / "new") == contents(SHIPPED)
    done = convert(former, "--out", "new", "--models-dir", tmp_path)
    assert done.exit_code == 2
    assert "is there already: choose another --out" in done.stderr
    assert contents(tmp_path / "new") == contents(SHIPPED)


@pytest.mark.parametrize("out", [(), ("--out", "new")], ids=["in place", "new folder"])
def test_a_full_disk_leaves_the_former_as_it_was(former: Path, tmp_path: Path, out: tuple[str, ...]) -> None:
    before = contents(former)
    with files_of_at_most(30_000):
        done = convert(former, *out, "--models-dir", tmp_path)
    assert done.exit_code == 2
    assert "make room there" in done.stderr
    assert contents(former) == before
    assert [path.name for path in tmp_path.iterdir()] == ["former"]


def test_what_is_damaged_is_left_as_it_was(former: Path) -> None:
    stored = json.loads((former / "config.json").read_text("utf-8"))
    for change, sentence in (
        ({"word_concepts": stored["word_concepts"][:-1]}, "The table of concepts of former is damaged"),
        ({"word_concepts": 5}, "The table of concepts of former is damaged"),
        ({"training": 5}, "training.json is damaged"),
        ({"format": 3}, "is written in format 3, this version reads format 2"),
    ):
        (former / "config.json").write_text(json.dumps({**stored, **change}), encoding="utf-8")
        before = contents(former)
        done = convert(former)
        assert done.exit_code == 2
        assert sentence in done.stderr
        assert contents(former) == before


def test_what_was_trained_elsewhere_needs_a_name(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text("{}", encoding="utf-8")
    done = convert(tmp_path / "words.json")
    assert done.exit_code == 2
    assert "give it one with --out" in done.stderr
