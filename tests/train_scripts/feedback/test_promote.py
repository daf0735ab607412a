"""A checkpoint in the place of another, whole at every moment, and back."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.models import list_models
from inference.checkpoints.modules import save_checkpoint
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.common.types import DecodingOptions
from tests.disk import files_of_at_most
from tests.inference.fakes import hash_of
from train_scripts.feedback.promote import promote, rollback
from train_scripts.metrics.evaluator import MEASURES


def checkpoint(folder: Path, value: float) -> str:
    """A checkpoint of one number; returns its hash."""
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(value)
    save_checkpoint(folder, module, CheckpointConfig("meme-small", {}, {}, DecodingOptions()))
    (folder / "tokenizer.json").write_text(str(value))
    return hash_of(folder.parent, folder.name)


def finished(
    tmp_path: Path, parent: str, *, better: str = "neither", by: str = "meteor", value: float = 2.0
) -> Path:
    """A run whose child is, on val, as ``better`` says ``by`` a measure: A (the parent is better), B or
    neither.
    """
    run = tmp_path / "run"
    child = checkpoint(run / "checkpoint", value)
    scores: dict[str, dict[str, Any]] = {measure.key: {"better": "neither"} for measure in MEASURES}
    (measure,) = (measure for measure in MEASURES if measure.key == by)
    lost = [0.1, 0.3] if measure.better == "lower" else [-0.3, -0.1]
    scores[by] = {"better": better, "a": 0.5, "low": lost[0], "high": lost[1]}
    comparison: dict[str, Any] = {
        "parent": parent,
        "checkpoint": child,
        "measure": "meteor",
        "val": {"scores": scores},
    }
    (run / "comparison.json").write_text(json.dumps(comparison))
    return run


@pytest.fixture
def models(tmp_path: Path) -> Path:
    checkpoint(tmp_path / "models" / "small", 1.0)
    return tmp_path / "models"


def values(models: Path) -> dict[str, str]:
    """Which numbers the models hold: by folder, as their tokenizer files say."""
    return {path.name: (path / "tokenizer.json").read_text() for path in sorted(models.iterdir())}


def test_it_takes_the_place_and_can_be_taken_back(tmp_path: Path, models: Path) -> None:
    before = hash_of(models, "small")
    run = finished(tmp_path, before)
    done = promote(run, "small", models)
    assert values(models) == {"small": "2.0", "small.previous": "1.0"}
    assert (done.previous, done.despite) == (before, None)
    assert hash_of(models, "small") == done.checkpoint
    back = f"Back: {PYTHON} -m train_scripts promote --rollback --name small --models-dir {models}"
    assert back in str(done)
    assert {model.name for model in list_models(models)} == {"small", "small.previous"}
    rollback("small", models)
    assert values(models) == {"small": "1.0", "small.previous": "2.0"}
    assert hash_of(models, "small") == before
    rollback("small", models)
    assert values(models) == {"small": "2.0", "small.previous": "1.0"}


def test_only_one_previous_is_kept(tmp_path: Path, models: Path) -> None:
    promote(finished(tmp_path, hash_of(models, "small")), "small", models)
    promote(finished(tmp_path, hash_of(models, "small"), value=3.0), "small", models)
    assert values(models) == {"small": "3.0", "small.previous": "2.0"}


def test_a_new_name_is_added(tmp_path: Path, models: Path) -> None:
    done = promote(finished(tmp_path, "another"), "second", models)
    assert (done.previous, values(models)) == (None, {"second": "2.0", "small": "1.0"})


def test_a_run_of_train_is_added_too(tmp_path: Path, models: Path) -> None:
    checkpoint(tmp_path / "run" / "model", 3.0)
    promote(tmp_path / "run", "trained", models)
    assert values(models) == {"small": "1.0", "trained": "3.0"}
    with pytest.raises(UserError, match=r"holds no comparison with small .* only a run of finetune has one"):
        promote(tmp_path / "run", "small", models)


def test_what_is_worse_is_refused_unless_forced(tmp_path: Path, models: Path) -> None:
    run = finished(tmp_path, hash_of(models, "small"), better="A")
    with pytest.raises(UserError, match=r"worse than small on val beyond chance, in: METEOR\..*--force"):
        promote(run, "small", models)
    assert values(models) == {"small": "1.0"}
    done = promote(run, "small", models, force=True)
    assert str(done).startswith("Forced, although: It is worse than small")
    assert values(models) == {"small": "2.0", "small.previous": "1.0"}


@pytest.mark.parametrize(
    ("by", "title"),
    [
        ("quote_recall", "Quoted words, recall"),
        ("quote_precision", "Quoted words, precision"),
        ("content_precision", "Content lemmas, precision"),
        ("content_recall", "Content lemmas, recall"),
        ("repeated_outside", "Phrase repeated outside quotes"),
    ],
)
def test_what_a_reader_would_miss_is_guarded(tmp_path: Path, models: Path, by: str, title: str) -> None:
    run = finished(tmp_path, hash_of(models, "small"), better="A", by=by)
    with pytest.raises(UserError, match=f"in: {title}"):
        promote(run, "small", models)
    assert values(models) == {"small": "1.0"}


def test_another_models_run_is_refused(tmp_path: Path, models: Path) -> None:
    run = finished(tmp_path, "d" * 64)
    with pytest.raises(UserError, match=r"another model's checkpoint \(d{12}\).*--model small"):
        promote(run, "small", models)


def test_of_two_runs_at_once_the_second_meets_what_the_first_has_made(tmp_path: Path, models: Path) -> None:
    """It was compared with a model that serves no longer; and neither takes the other's files away."""
    serving, number = hash_of(models, "small"), 1.0
    for _ in range(10):
        runs = {value: tmp_path / str(value) for value in (number + 1, number + 2)}
        for value, folder in runs.items():
            finished(folder, serving, value=value)

        def promoted(value: float, runs: Mapping[float, Path] = runs) -> float | str:
            try:
                promote(runs[value] / "run", "small", models)
            except UserError as error:
                return str(error)
            return value

        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(promoted, runs))
        (winner,) = [one for one in said if isinstance(one, float)]
        assert any("was made from another model's checkpoint" in one for one in said if isinstance(one, str))
        assert values(models) == {"small": str(winner), "small.previous": str(number)}
        serving, number = hash_of(models, "small"), winner


def test_other_weights_than_those_compared_are_refused(tmp_path: Path, models: Path) -> None:
    run = finished(tmp_path, hash_of(models, "small"))
    checkpoint(run / "checkpoint", 7.0)
    with pytest.raises(UserError, match="not those that were compared"):
        promote(run, "small", models)


def test_without_a_comparison_it_is_refused(tmp_path: Path, models: Path) -> None:
    checkpoint(tmp_path / "other", 5.0)
    with pytest.raises(UserError, match="holds no comparison with small"):
        promote(tmp_path / "other", "small", models)
    run = finished(tmp_path, hash_of(models, "small"))
    (run / "comparison.json").write_text("{")
    with pytest.raises(UserError, match=r"comparison\.json is damaged"):
        promote(run, "small", models)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_a_name_is_a_name(tmp_path: Path, models: Path, name: str) -> None:
    with pytest.raises(UserError, match="no name for a model"):
        promote(finished(tmp_path, "x"), name, models)


def test_a_run_that_is_not_there(tmp_path: Path, models: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*/mistyped: give that of a run"):
        promote(tmp_path / "mistyped", "small", models)


def test_nothing_to_go_back_to(models: Path) -> None:
    with pytest.raises(UserError, match=r"nothing to go back to: .* small and small\.previous"):
        rollback("small", models)


def test_a_full_disk_leaves_the_model_as_it_was(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished(tmp_path, hash_of(models, "small"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with (
        files_of_at_most(2),
        pytest.raises(UserError, match=r"written \(\[Errno 27\] File too large: '[^']*' -> '[^']*'\): make"),
    ):
        promote(run, "small", models)
    assert values(models) == {"small": "1.0"}

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(UserError, match=r"small was left as it was.*No space left"):
        promote(run, "small", models)
    assert values(models) == {"small": "1.0"}


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_reader_always_finds_a_whole_model(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    """In one step where the system can do that; elsewhere the model is the one or the other, or for a moment
    not there, but never a mixture.
    """
    if not in_one_step:
        monkeypatch.setattr(sys, "platform", "other")
    run = finished(tmp_path, hash_of(models, "small"))
    stop, seen, missing = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add((models / "small" / "tokenizer.json").read_text())
            except FileNotFoundError:
                missing.append(True)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        promote(run, "small", models)
        for _ in range(100):
            rollback("small", models)
    finally:
        stop.set()
        reader.join()
    assert seen <= {"1.0", "2.0"}
    assert values(models) == {"small": "2.0", "small.previous": "1.0"}
    if in_one_step:
        assert not missing
