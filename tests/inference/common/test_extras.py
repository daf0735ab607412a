"""Where the packages of an extra are missing, everything that needs them says so in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.feedback.database import StoreError, create_engine, database_url
from inference.__main__ import app as inference_commands
from inference.captioners.captioner import load_captioner
from inference.checkpoints.coco_objects import FILE
from inference.common import extras
from inference.common.extras import MODULES, Extra, NotInstalled, require
from inference.common.interpreter import PYTHON
from tests.inference.fakes import write_checkpoint
from tests.slim import ROOT
from tests.slim import hide as hide_all
from train_scripts.__main__ import app as training_commands


def hide(extra: Extra, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the imports of these modules fail, as where they are not installed."""
    for module in MODULES[extra]:
        monkeypatch.setitem(sys.modules, module, None)


def test_what_is_installed_is_not_asked_for() -> None:
    require("models", "This test")
    require("train", "This test")


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("models", "make models"),
        ("train", "make train"),
        ("postgres", f"{PYTHON} -m pip install -c constraints.txt -e '.[postgres]'"),
        ("serve", f"{PYTHON} -m pip install -c constraints.txt -e '.[serve]'"),
    ],
)
def test_the_sentence_has_the_command(extra: Extra, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(extra, monkeypatch)
    with pytest.raises(NotInstalled) as caught:
        require(extra, "This test")
    sentence = str(caught.value)
    assert sentence.startswith(f"This test needs packages that are not installed ({MODULES[extra][0]}")
    assert sentence.endswith(f'install them with "{command}".')


def test_without_make_the_command_is_pips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in an image, which has no Makefile."""
    monkeypatch.setattr(extras, "_MAKEFILE", tmp_path / "Makefile")
    hide("models", monkeypatch)
    with pytest.raises(NotInstalled, match=r"-m pip install -c constraints\.txt -e '\.\[models\]'\"\.$"):
        require("models", "This test")


@pytest.mark.parametrize("name", ["preset", "coco-objects", "hf:org/name", "shipped+org/en-ru"])
def test_a_model_that_pytorch_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, "preset")
    config = {"format": 2, "architecture": "encoder-decoder", "encoder": {}, "decoder": {}, "decoding": {}}
    (tmp_path / "preset" / "config.json").write_text(json.dumps(config))
    (tmp_path / FILE).write_bytes(b"weights")
    shutil.copytree(ROOT / "checkpoints" / "meme-small", tmp_path / "shipped")
    hide("models", monkeypatch)
    with pytest.raises(NotInstalled, match=r"model .* needs packages .* \"make models\"\.$"):
        load_captioner(name, tmp_path)


def test_a_model_whose_graphs_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To mend them is less than to install PyTorch."""
    folder = Path(shutil.copytree(ROOT / "checkpoints" / "lstm-navec-small", tmp_path / "preset"))
    (folder / "graphs" / "step.onnx").write_bytes(b"no graph")
    hide("models", monkeypatch)
    reason = r"whose graphs cannot be used \(.*step\.onnx is damaged.*\), needs packages .* \"make models\""
    with pytest.raises(NotInstalled, match=f"^The model preset, {reason}"):
        load_captioner("preset", tmp_path)


def test_an_installation_of_before_that_has_pytorch_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "checkpoints" / "lstm-navec-small", tmp_path / "preset")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = CliRunner().invoke(inference_commands, ["export", "preset", "--models-dir", str(tmp_path)])
    assert done.exit_code == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("Exporting graphs needs packages that are not installed (onnxscript)")


@pytest.mark.parametrize("arguments", [["convert", "model.pt", "--out", "new"], ["pull", "resnet34"]])
def test_a_command_that_needs_pytorch(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide("models", monkeypatch)
    done = CliRunner().invoke(inference_commands, [*arguments, "--models-dir", str(tmp_path)])
    assert done.exit_code == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith('install them with "make models".')


def test_every_command_of_the_researcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("memes.jsonl", "memes/train.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    hide("train", monkeypatch)
    photos = ["--photos", "memes.jsonl"]
    for arguments in (
        ["prepare", "table", "memes.jsonl", "--out", "data"],
        ["prepare", "export", "feedback", "--out", "data"],
        ["evaluate", "a.jsonl", "b.jsonl"],
        ["compare", "a.jsonl", "b.jsonl", "--references", "c.jsonl"],
        ["finetune", "--feedback", "f", "--model", "m", "--data", "d", "--out", "o"],
        ["promote", "runs/better", "--name", "meme-small"],
        ["train", "--config", "resnet34-lstm"],
        ["read", "memes"],
        ["line-scorer", "memes", "--readings", "memes.jsonl"],
        ["meme-small", "memes", *photos, "--readings", "memes.jsonl"],
        ["language-model", "memes", *photos, "--readings", "memes.jsonl"],
        ["recognizer", "memes", *photos, "--pretrained", "memes.jsonl"],
        ["reproduce", "resnet50-lstm", "--dry-run"],
        ["int8", "preset", "--data", "memes"],
        ["detectors", "preset", "--config", "resnet34-lstm"],
        ["graphs"],
    ):
        done = CliRunner().invoke(training_commands, arguments)
        assert done.exit_code == 1, (arguments, done.output)
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith("Error: '")
        assert sentence.endswith('install them with "make train".')


def test_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    hide("postgres", monkeypatch)
    with pytest.raises(StoreError, match=r"DATABASE_URL needs packages that are not installed \(asyncpg\)"):
        create_engine(database_url("postgresql://someone@host/name"))


def test_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    hide("serve", monkeypatch)
    done = CliRunner().invoke(inference_commands, ["serve", "--ray", "local", "--models-dir", "checkpoints"])
    assert done.exit_code == 2
    assert "'python -m inference serve --ray' needs packages that are not installed (ray" in done.stderr


WITHOUT = """
from typer.main import get_command
from typer.testing import CliRunner

import bot.__main__, inference.__main__, train_scripts.__main__

def helped(app, words, commands):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, (words, done.output)
    print(*words)
    for name, command in commands.items():
        helped(app, [*words, name], getattr(command, "commands", {}))

for app in (bot.__main__.cli, inference.__main__.app, train_scripts.__main__.app):
    helped(app, [], get_command(app).commands)
for words in (["models"], ["pull", "--list"], ["verify", "meme-small"]):
    done = CliRunner().invoke(inference.__main__.app, words)
    assert done.exit_code == 0, (words, done.output)
"""


def test_every_help_and_what_looks_at_models_need_no_extra(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(hide_all(tmp_path)), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 25
