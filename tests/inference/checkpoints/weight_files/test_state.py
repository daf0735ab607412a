"""Opening weight files: what is damaged, missing or dangerous is refused in one sentence."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from inference.checkpoints.weight_files.state import ImportFailed, count, fill, read_state, take


class Bomb:
    """Unpickling this runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_pickled_code_is_refused_and_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for name, save in (("zip.pt", torch.save), ("plain.pkl", lambda x, p: p.write_bytes(pickle.dumps(x)))):
        path = tmp_path / name
        save({"weight": Bomb(trace)}, path)
        with pytest.raises(ImportFailed, match=r"asks to call posix\.system: .* would run .* ask its author"):
            read_state(path)
    assert not trace.exists()


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights .*none\.pt are missing"):
        read_state(tmp_path / "none.pt")
    whole = tmp_path / "whole.pt"
    torch.save({"a": torch.zeros(1000)}, whole)
    for name, content in (
        ("cut.pt", whole.read_bytes()[:700]),
        ("empty.pt", b""),
        ("cut.safetensors", b"\x10\0\0"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ImportFailed, match="is damaged or no weight file"):
            read_state(path)
    torch.save([torch.zeros(2)], whole)
    with pytest.raises(ImportFailed, match="holds no table of named tensors"):
        read_state(whole)


def test_wrappers_are_taken_off_and_halves_become_floats(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.ones(2, dtype=torch.half), "steps": torch.tensor(3)}
    for i, found in enumerate(
        (
            tensors,
            {"state_dict": tensors, "epoch": 4},
            {"model": tensors},
            {f"module.{key}": value for key, value in tensors.items()},
        )
    ):
        path = tmp_path / f"{i}.pt"
        torch.save(found, path)
        state = read_state(path)
        assert state.keys() == tensors.keys()
        assert state["a.weight"].dtype == torch.float32
        assert state["steps"].dtype == torch.int64
    save_file(tensors, tmp_path / "a.safetensors")
    assert read_state(tmp_path / "a.safetensors").keys() == tensors.keys()


def test_what_does_not_fit_is_said() -> None:
    module = nn.Linear(2, 3)
    with pytest.raises(ImportFailed, match=r"bias is missing; extra is unknown; weight is \(2, 2\) instead"):
        fill(module, {"weight": torch.zeros(2, 2), "extra": torch.zeros(1)}, "a layer")
    with pytest.raises(ImportFailed, match="This is no cat: it has no tensor 'tail'"):
        take({}, "tail", "cat")
    assert count(["h.0.a", "h.0.b", "h.1.a", "h.x.a", "other.2.a"], "h.") == 2
