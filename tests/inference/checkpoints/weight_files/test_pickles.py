"""Pickles are read as data, and nothing that is written in them ever runs."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import subprocess
import warnings
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.checkpoints.weight_files.pickles import (
    DamagedPickle,
    Record,
    UnsafePickle,
    read_file,
    read_pickle,
)
from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.importers.vocabulary import read_vocabulary

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "кот", "мем"]


class Cell(nn.Module):
    """Of every kind that a state dict keeps, and of some that it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.lstm_cell = nn.LSTMCell(4, 3)
        self.inner = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
        self.scale = nn.Parameter(torch.arange(6.0).view(2, 3).t())  # not in the order of its storage
        self.register_buffer("steps", torch.tensor([1, -2, 3]))
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.words, self.rate, self.act = WORDS, 0.5, torch.relu


class Vocabulary:
    """As tutorials write it."""

    def __init__(self, words: list[str]) -> None:
        self.word2idx = {word: i for i, word in enumerate(words)}
        self.idx2word = dict(enumerate(words))
        self.idx = len(words)


class Words(dict[str, int]):
    """A table of its own class."""


class Calls:
    """Unpickling this calls a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_whole_pickled_module_is_its_state_dict(new: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = Cell(), tmp_path / "model.pt"
    torch.save(module, path, _use_new_zipfile_serialization=new)
    assert_same(read_state(path), module.state_dict())
    torch.save({"decoder": module, "epoch": 3}, path, _use_new_zipfile_serialization=new)
    assert_same(read_state(path), module.state_dict())


def test_a_torchscript_archive_is_its_state_dict(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Sequential(nn.Linear(3, 1))).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch prefers newer ways, OpenAI's files are of this one
        torch.jit.trace(module, torch.zeros(1, 2)).save(str(tmp_path / "model.pt"))
    assert_same(read_state(tmp_path / "model.pt"), module.state_dict())


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_training_checkpoint_is_the_state_dict_in_it(new: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Cell()
    optimiser = torch.optim.Adam(module.parameters())
    torch.cat([parameter.flatten() for parameter in module.parameters()]).sum().backward()
    optimiser.step()
    half = {
        f"module.{key}": v.half() if v.is_floating_point() else v for key, v in module.state_dict().items()
    }
    expected = {k: v.half().float() if v.is_floating_point() else v for k, v in module.state_dict().items()}
    path = tmp_path / "last.ckpt"
    state, args = optimiser.state_dict(), argparse.Namespace(lr=1e-3, out=path)
    for checkpoint in (
        {
            "model_state_dict": half,
            "optimizer_state_dict": state,
            "args": args,
        },
        {"epoch": 3, "loss": np.float64(0.5), "net": half, "optimizer": state, "counts": Counter(WORDS)},
        {"state_dict": OrderedDict((f"model.{key}", value) for key, value in half.items()), "loops": {}},
        {**half, "epoch": 3},
    ):
        torch.save(checkpoint, path, _use_new_zipfile_serialization=new)
        assert_same(read_state(path), expected)
    torch.save({"one": half, "two": half}, path, _use_new_zipfile_serialization=new)
    with pytest.raises(ImportFailed, match=r"several tables of tensors \(one, two\): save the one"):
        read_state(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_vocabulary_is_its_words(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "vocab.pkl"
    numbered = {word: i for i, word in enumerate(WORDS)}
    for found in (WORDS, tuple(WORDS), numbered, dict(enumerate(WORDS)), Vocabulary(WORDS), Words(numbered)):
        path.write_bytes(pickle.dumps(found, protocol))
        assert read_vocabulary(path).words == tuple(WORDS)


def test_words_a_line_are_read_and_what_is_no_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    assert read_vocabulary(tmp_path / "words.txt").words == tuple(WORDS)
    path = tmp_path / "vocab.pkl"
    for wrong, sentence in (
        (pickle.dumps(3), "is no vocabulary"),
        (pickle.dumps([]), "is no vocabulary"),
        (pickle.dumps({0: "a", 2: "b"}), "is no vocabulary"),
        (pickle.dumps(argparse.Namespace(seed=1)), "is no vocabulary"),
        (pickle.dumps(["кот", "мем"]), "has no padding word"),
        (pickle.dumps(WORDS)[:-9], "is damaged or no vocabulary"),
        (b"", "is damaged or no vocabulary"),
        (b"\x89PNG nonsense", "is damaged or no vocabulary"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ImportFailed, match=sentence):
            read_vocabulary(path)
    with pytest.raises(FileNotFoundError, match="is missing"):
        read_vocabulary(tmp_path / "none.pkl")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_asks_to_be_run_is_refused_by_name_and_not_run(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    command = f"touch {trace}"
    for wicked, name in (
        (Calls(os.system, command), r"call posix\.system"),
        (Calls(eval, f"open({str(trace)!r}, 'w')"), r"call \S*builtin\S*\.eval"),
        (Calls(subprocess.Popen, ["touch", str(trace)]), r"call (subprocess|commands)\.Popen"),
        (Calls(torch.load, str(trace)), r"call torch\.\S*load"),
        ([WORDS, {"word2idx": Calls(os.system, command)}], r"call posix\.system"),
    ):
        path = tmp_path / "vocab.pkl"
        path.write_bytes(pickle.dumps(wicked, protocol))
        with pytest.raises(ImportFailed, match=f"is refused, because it asks to {name}"):
            read_vocabulary(path)
        with pytest.raises(ImportFailed, match=f"is refused, because it asks to {name}"):
            read_state(path)
    for new in (True, False):
        path = tmp_path / "model.pt"
        state = {"weight": torch.zeros(2), "hook": Calls(os.system, command)}
        torch.save(state, path, _use_new_zipfile_serialization=new)
        with pytest.raises(ImportFailed, match=r"asks to call posix\.system: pickled code would run"):
            read_state(path)
    assert not trace.exists()


def test_other_ways_to_run_code_are_refused_too() -> None:
    for data, reason in (
        (b"(S'touch x'\nios\nsystem\n.", "instruction INST"),
        (b"(cos\nsystem\nS'touch x'\no.", "instruction OBJ"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"cbuiltins\ngetattr\n(cos\nposix\nVsystem\ntR(S'touch x'\ntR.", r"call os\.posix\.system"),
        (b"\x80\x02cbuiltins\ngetattr\n]X\x01\x00\x00\x00a\x86R.", "attribute of something that is no name"),
        (b"\x80\x02cos\nsystem\n(X\x01\x00\x00\x00xt\x81.", "makes a os.system from arguments"),
        (b"\x80\x02X\x01\x00\x00\x00a)\x81.", "an object of something that is no class"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "refers to something outside"),
        (b"\x80\x02]}b.", "gives attributes to a list"),
        (b"\x80\x02cos\nsystem\n)\x81K\x01b.", "no table of attributes"),
    ):
        with pytest.raises(UnsafePickle, match=reason):
            read_pickle(io.BytesIO(data))
    # A class is only a name: nothing of it is imported.
    found = read_pickle(io.BytesIO(b"\x80\x02cno.such.module\nThing\n)\x81}X\x01\x00\x00\x00aK\x07sb."))
    assert isinstance(found, Record)
    assert (str(found.kind), found.state) == ("no.such.module.Thing", {"a": 7})


def test_damaged_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Cell(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedPickle):
            read_file(path)
        with pytest.raises(ImportFailed, match="is damaged or no weight file"):
            read_state(path)
    for data in (b"", b"N", b".", b"\x80\x02t.", b"\x80\x02h\x07.", b"\x80\x02K\x01K\x02s."):
        with pytest.raises(DamagedPickle):
            read_pickle(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_text_of_numpy_is_a_text(protocol: int, tmp_path: Path) -> None:
    words = ["", "[UNK]", *map(np.str_, ("a", "<eos>", "кот"))]
    path = tmp_path / "vocabulary.pkl"
    path.write_bytes(pickle.dumps(words, protocol))
    found = read_vocabulary(path)
    assert found.words == ("", "[UNK]", "a", "<eos>", "кот")
    assert (found.pad, found.eos, found.unk) == (0, 3, 1)
