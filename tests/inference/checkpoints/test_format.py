"""Checkpoints are written whole or not at all, and loaded strictly or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.checkpoints import manifest
from inference.checkpoints.config import FORMAT, CheckpointConfig, Lineage, TrainingRecord
from inference.checkpoints.folder import CONFIG_FILE, WEIGHTS_FILE
from inference.checkpoints.format import (
    TRAINING_FILE,
    CheckpointError,
    read_config,
    read_table,
    read_training,
)
from inference.checkpoints.modules import load_weights, save_checkpoint
from inference.common.types import DecodingOptions
from tests.disk import files_of_at_most, modes, umask

CONFIG = CheckpointConfig("net", {}, {}, DecodingOptions())


class Net(nn.Module):
    """Floats, whole numbers and a buffer, as real models have."""

    def __init__(self, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.places: Tensor
        self.register_buffer("places", torch.tensor([-2, -1, 70_000]))


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_one_sentence(error: BaseException) -> None:
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")


@pytest.mark.parametrize("half", [True, False])
def test_what_was_saved_is_loaded(tmp_path: Path, half: bool) -> None:
    net = Net()
    config = CheckpointConfig("net", {"kind": "eye"}, {"width": 8}, DecodingOptions("greedy"), {"its": "да"})
    lineage = Lineage(None, "2026-01-01", data=({"stage": "one", "rows": 8},))
    record = TrainingRecord({"history": [1, 2]}, {"bleu": 0.5}, lineage)
    folder = tmp_path / "new" / "net"
    save_checkpoint(folder, net, config, record, tables={"words.json": '{"да": 1}'}, half=half)
    assert {*contents(folder)} == {CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE, "words.json", manifest.FILE}
    assert set(manifest.read_manifest(folder)) == {WEIGHTS_FILE, "words.json"}
    assert manifest.mismatch(folder) == ""
    assert read_config(folder) == config
    assert read_training(folder) == record
    assert read_table(folder, "words.json") == {"да": 1}
    other = Net(seed=1)
    load_weights(other, folder)
    for name, tensor in values(other).items():
        expected = net.state_dict()[name]
        assert tensor.dtype == expected.dtype
        torch.testing.assert_close(tensor, expected, atol=0, rtol=1e-3 if half else 0)
    stored = load_file(folder / WEIGHTS_FILE)
    assert stored["first.weight"].dtype == (torch.float16 if half else torch.float32)
    assert stored["places"].tolist() == [-2, -1, 70_000]  # whole numbers are never rounded


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_the_files_are_readable_as_the_umask_says(mask: int, tmp_path: Path) -> None:
    with umask(mask):
        save_checkpoint(tmp_path, Net(), CONFIG)
        save_checkpoint(tmp_path, Net(seed=1), CONFIG)  # in the place of the first
    assert modes(tmp_path) == dict.fromkeys(
        (CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE, manifest.FILE), 0o666 & ~mask
    )


def damage(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, folder / WEIGHTS_FILE)


def test_a_missing_tensor_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    net = Net()
    save_checkpoint(tmp_path, net, CONFIG)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    del tensors["first.bias"], tensors["places"]
    damage(tmp_path, tensors)
    other = Net(seed=1)
    before = values(other)
    with pytest.raises(CheckpointError, match=r"lacks first\.bias and 1 more") as caught:
        load_weights(other, tmp_path)
    assert_one_sentence(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in values(other).items())


def test_a_tensor_too_many_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Net(), CONFIG)
    damage(tmp_path, {**load_file(tmp_path / WEIGHTS_FILE), "extra.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"has extra\.weight besides") as caught:
        load_weights(Net(), tmp_path)
    assert_one_sentence(caught.value)


def test_another_shape_is_named_with_both(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Net(width=6), CONFIG)
    other = Net(width=8, seed=1)
    before = values(other)
    with pytest.raises(
        CheckpointError, match=r"first\.weight has the shape \(6, 4\).*asks for \(8, 4\)"
    ) as caught:
        load_weights(other, tmp_path)
    assert_one_sentence(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in values(other).items())


@pytest.mark.parametrize("kept", [0, 5, 60, -1], ids=["empty", "header cut", "head only", "one byte short"])
def test_torn_weights_are_called_damaged(tmp_path: Path, kept: int) -> None:
    save_checkpoint(tmp_path, Net(), CONFIG)
    whole = (tmp_path / WEIGHTS_FILE).read_bytes()
    (tmp_path / WEIGHTS_FILE).write_bytes(whole[:kept])
    with pytest.raises(CheckpointError, match="is damaged or no safetensors file") as caught:
        load_weights(Net(), tmp_path)
    assert_one_sentence(caught.value)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_weights(Net(), tmp_path)


def test_missing_files_are_called_missing(tmp_path: Path) -> None:
    for call in (lambda: read_config(tmp_path), lambda: load_weights(Net(), tmp_path)):
        with pytest.raises(CheckpointError, match="is missing: get the checkpoint anew") as caught:
            call()
        assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "null", "{}", '"format"', "\ufeff{}", '{"format": 1'],
    ids=lambda text: text or "empty",
)
def test_a_damaged_config_is_called_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / CONFIG_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged") as caught:
        read_config(tmp_path)
    assert_one_sentence(caught.value)


def test_a_config_of_bytes_that_are_no_text_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_config(tmp_path)


@pytest.mark.parametrize("written", [0, FORMAT + 1, "1", None])
def test_another_format_is_refused(tmp_path: Path, written: object) -> None:
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"format": written}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"this version reads format {FORMAT}") as caught:
        read_config(tmp_path)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("fails", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_full_disk_in_the_middle_of_a_save_keeps_the_former_checkpoint(tmp_path: Path, fails: str) -> None:
    save_checkpoint(tmp_path, Net(), replace(CONFIG, own={"note": "the former"}))
    before = contents(tmp_path)
    wide, long = (4_000, "") if fails == WEIGHTS_FILE else (4, "x" * 40_000)
    with files_of_at_most(20_000), pytest.raises(CheckpointError, match="make room there") as caught:
        save_checkpoint(tmp_path, Net(width=wide, seed=2), replace(CONFIG, own={"long": long}))
    assert_one_sentence(caught.value)
    assert contents(tmp_path) == before
    save_checkpoint(tmp_path, Net(seed=2), replace(CONFIG, own={"note": "the next"}))
    assert read_config(tmp_path).own == {"note": "the next"}


def test_eight_bits_are_a_quarter_of_the_size_and_close(tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(8, 64, 3), nn.Linear(64, 512))
    save_checkpoint(tmp_path / "whole", net, CONFIG, half=False)
    save_checkpoint(tmp_path / "small", net, CONFIG, half=False, int8=("0.", "1.weight"))
    sizes = [(tmp_path / kind / WEIGHTS_FILE).stat().st_size for kind in ("whole", "small")]
    assert sizes[1] < 0.32 * sizes[0]
    other = nn.Sequential(nn.Conv2d(8, 64, 3), nn.Linear(64, 512))
    load_weights(other, tmp_path / "small")
    for (name, was), now in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        if was.dim() == 1:  # biases stay as they are
            assert torch.equal(was, now), name
        else:
            largest = was.flatten(1).abs().amax(1).view(-1, *[1] * (was.dim() - 1))
            assert ((was - now).abs() <= largest / 254 * 1.001).all(), name


@pytest.mark.parametrize("text", ["{", "[]", '{"lineage": {"mother": 2}}', '{"scores": 5}', '{"lineage": 7}'])
def test_a_damaged_record_of_training_is_called_damaged(tmp_path: Path, text: str) -> None:
    save_checkpoint(tmp_path, Net(), CONFIG)
    assert read_training(tmp_path) == TrainingRecord()
    (tmp_path / TRAINING_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"training\.json is damaged") as caught:
        read_training(tmp_path)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("lacking", ["architecture", "encoder", "decoder", "decoding"])
def test_what_config_json_does_not_say_is_named(tmp_path: Path, lacking: str) -> None:
    save_checkpoint(tmp_path, Net(), CONFIG)
    stored = json.loads((tmp_path / CONFIG_FILE).read_text(encoding="utf-8"))
    del stored[lacking]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"its config.json says nothing of '{lacking}'") as caught:
        read_config(tmp_path)
    assert_one_sentence(caught.value)
