"""What a folder of checkpoints says of itself without torch."""

import hashlib
import os
from pathlib import Path

import pytest

from inference.checkpoints.card import Score
from inference.checkpoints.coco_objects import FILE
from inference.checkpoints.models import list_models, missing_models, model_info
from inference.checkpoints.names import ModelName
from inference.common.interpreter import PYTHON
from inference.common.types import EngineError, UnknownModel
from inference.presets import preset
from tests.inference.fakes import hash_of, promote, write_checkpoint

CARD = """---
language: ru
description_ru: "Описывает мемы: по порядку."
model-index: [{results: [{metrics: [{type: meteor, name: METEOR, value: 0.5}]}]}]
---
# A small model

![A picture](x.png)

Describes memes in Russian,
and reads them.

Second paragraph.
"""


def test_models_are_listed_by_name_with_what_their_files_say(tmp_path: Path) -> None:
    second = write_checkpoint(tmp_path, "zebra", card=CARD)
    write_checkpoint(tmp_path, "ant")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").touch()
    ant, zebra = list_models(tmp_path)
    assert (ant.name, ant.description, ant.description_ru, ant.parameters) == ("ant", "", "", 6)
    assert (zebra.name, zebra.checkpoint, zebra.parameters) == ("zebra", second, 6)
    assert zebra.description == "Describes memes in Russian, and reads them."
    assert zebra.description_ru == "Описывает мемы: по порядку."
    assert zebra.scores == (Score("meteor", "METEOR", 0.5),)


def test_a_damaged_model_hides_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_checkpoint(tmp_path, "good")
    write_checkpoint(tmp_path, "bad")
    for damage in (b"", b"\x05", b"\xff" * 40, (9).to_bytes(8, "little") + b"[1, 2, 3]"):
        (tmp_path / "bad" / "model.safetensors").write_bytes(damage)
        assert [model.name for model in list_models(tmp_path)] == ["good"]
        with pytest.raises(EngineError, match="safetensors"):
            model_info(tmp_path, ModelName.parse("bad"))
    assert "bad/model.safetensors is not a safetensors file" in caplog.text


def test_weights_of_the_same_size_and_time_are_told_apart(tmp_path: Path) -> None:
    """As out of an archive without times: by another file in their place, and by what was written into it."""
    weights = tmp_path / "ant" / "model.safetensors"

    def unpacked() -> str:
        os.utime(weights, (0, 0))
        return hash_of(tmp_path, "ant")

    first = write_checkpoint(tmp_path, "ant", weights="first")
    assert unpacked() == first
    second = promote(tmp_path, "ant", "second")
    assert unpacked() == second
    weights.write_bytes(weights.read_bytes().replace(b"second", b"third."))
    assert unpacked() == hashlib.sha256(weights.read_bytes()).hexdigest() != second


def test_a_preset_is_no_model_until_it_has_weights(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "ant")
    with pytest.raises(
        UnknownModel, match=r"'rudolph' has no weights .*reproduce rudolph', .*, or choose one of ant\."
    ):
        hash_of(tmp_path, "rudolph")
    with pytest.raises(UnknownModel, match=r"\('\S*python -m inference convert'\)\."):
        hash_of(tmp_path / "nowhere", "rudolph")
    written = write_checkpoint(tmp_path, "rudolph")
    assert hash_of(tmp_path, "rudolph") == written


def test_what_is_missing_is_listed_with_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    missing = {one.name: one for one in missing_models(tmp_path)}
    assert missing.keys() == {*preset.names(), "coco-objects"}
    assert missing["rudolph"].command == f"{PYTHON} -m train_scripts reproduce rudolph"
    assert missing["resnet34-lstm"].command == f"{PYTHON} -m train_scripts train --config resnet34-lstm"
    assert missing["coco-objects"].command == f"{PYTHON} -m inference pull fasterrcnn_fpn"
    assert all(one.description and one.description_ru for one in missing.values())
    (tmp_path / FILE).write_bytes(b"weights")
    write_checkpoint(tmp_path, "rudolph")
    left = {one.name for one in missing_models(tmp_path)}
    assert missing.keys() - left == {"rudolph", "coco-objects"}


def test_a_checkpoint_without_its_weights_says_so(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "bare")
    (tmp_path / "bare" / "config.json").write_text('{"architecture": "encoder-decoder"}', encoding="utf-8")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(
        UnknownModel, match=r"'bare' has no weights: .*bare/model\.safetensors is missing, get"
    ):
        hash_of(tmp_path, "bare")
    # A language model that was fetched is no captioner at all.
    (tmp_path / "bare" / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}', encoding="utf-8")
    with pytest.raises(UnknownModel, match="no model named 'bare'"):
        hash_of(tmp_path, "bare")


def test_models_without_a_folder_are_known_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(UnknownModel, match=r"coco-objects .*python -m inference pull"):
        hash_of(tmp_path, "coco-objects")
    (tmp_path / FILE).write_bytes(b"weights")
    assert hash_of(tmp_path, "coco-objects") == hashlib.sha256(b"weights").hexdigest()
    (objects,) = list_models(tmp_path)
    assert (objects.name, objects.parameters) == ("coco-objects", 0)
    assert objects.description.startswith("Names the things")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UnknownModel, match="pull hf:someone/captioner"):
        hash_of(tmp_path, "hf:someone/captioner")
    commit = "0123456789abcdef" * 2 + "01234567"
    repo = tmp_path / "models--someone--captioner"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"weights")
    found = model_info(tmp_path, ModelName.parse("hf:someone/captioner"))
    assert (found.name, found.checkpoint) == ("hf:someone/captioner", commit)
    # It is not offered by itself.
    assert [model.name for model in list_models(tmp_path)] == ["coco-objects"]
    asked = list_models(tmp_path, ["hf:someone/captioner", "hf:nobody/captioner", "coco-objects"])
    assert [model.name for model in asked] == ["coco-objects", "hf:someone/captioner"]


def test_no_folder_no_models(tmp_path: Path) -> None:
    assert list_models(tmp_path / "nowhere") == []
    with pytest.raises(UnknownModel, match="put a checkpoint there first"):
        hash_of(tmp_path / "nowhere", "any")


def test_the_hash_follows_the_file(tmp_path: Path) -> None:
    first = write_checkpoint(tmp_path, "model")
    assert hash_of(tmp_path, "model") == first
    weights = tmp_path / "model" / "model.safetensors"
    other = weights.read_bytes()[:-1] + b"!"
    before = weights.stat().st_mtime_ns
    weights.write_bytes(other)
    os.utime(weights, ns=(before + 1, before + 1))
    assert hash_of(tmp_path, "model") == hashlib.sha256(other).hexdigest() != first


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_checkpoint(tmp_path, "model")
    assert hash_of(tmp_path, "model") == first

    def read(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(hashlib, "file_digest", read)
    assert hash_of(tmp_path, "model") == first
