"""`reproduce` to its end on small stand-ins over real HTTP, killed in every step and taken up again."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from inference.checkpoints.models import list_models
from inference.presets.preset import names, preset
from tests.forked import Commands
from tests.host import serving
from tests.train_scripts.reproduce.originals import ORIGINALS, publish
from tests.train_scripts.reproduce.standins import MEMES, photos, repository, serve
from train_scripts.reproduce.plans import read_system, system_names


@pytest.mark.parametrize("name", ORIGINALS)
def test_killed_in_every_step_and_resumed_to_its_end(name: str, tmp_path: Path, command: Commands) -> None:
    original = ORIGINALS[name]
    data, models, run, made = (tmp_path / folder for folder in ("data", "models", "run", "made"))
    words: list[object] = ["reproduce", name, "--data", data, "--out", run]
    for key, value in {**original.settings, "cache": tmp_path / "features"}.items():
        words += ["--set", f"{key}={value}"]
    made.mkdir()
    with serving() as host:
        settings = {"MODELS_DIR": str(models), "HF_ENDPOINT": host.url, "HF_HUB_CACHE": str(tmp_path / "hub")}
        entries = {"meme-captions": [("meme-captions.zip", repository())], **original.entries(made)}
        words += ["--addresses", serve(host, tmp_path, entries)]
        if original.translates:
            publish(host, made / "translator")
        reproduce = partial(command, *words, environment=settings)
        if original.by_hand:
            by_hand = reproduce()
            assert by_hand.status == 1
            assert by_hand.output.startswith("Error: Fetch from https://www.kaggle.com/")
            assert by_hand.output.count("\n") == 1
            assert host.asked == [], "a person is asked before anything slow"
            (data / "archives" / "flickr30k-images" / "archive.zip").write_bytes(photos())
        for pattern, time in original.kills:
            died = reproduce(dies=pattern, time=time)
            assert died.killed, (pattern, died.output)
        done = reproduce()
        assert done.status == 0, done.output
        assert done.output.count("done before") == original.steps - 1, "all but the last step"
        told = read_system(name).original["bleu4"]
        assert "│ BLEU-4 " in done.output and f"{told:.3f}" in done.output
        # Nothing that had come came again: of what was whole only its end was asked for.
        whole = f"bytes={len(entries['meme-captions'][0][1])}-"
        assert [asked for path, asked in host.asked if "meme" in path] == [None, whole]
        _learned_each_step_once(run)
        (said,) = run.glob("test-*.jsonl")
        rows = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()]
        assert sorted(row["file_name"] for row in rows) == [
            f"images/{number}.jpg" for number in MEMES["test"]
        ]
        found = next(model for model in list_models(models) if model.name == original.model)
        assert found.description_ru == preset(name).description.ru
        # What everything was made from may go.
        shutil.rmtree(data / "archives")
        shutil.rmtree(data / "unpacked")
        again = reproduce()
        assert (again.status, again.output.count("done before")) == (0, original.steps)
        listed = reproduce("--dry-run")
        assert "missing" not in listed.output and "to do" not in listed.output
        other = reproduce("--set", "stages.memes.epochs=3")
        assert other.status == 1
        assert "was started with another stages.memes.epochs" in other.output


def _learned_each_step_once(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    learned = list(dict.fromkeys((row["stage"], row["epoch"]) for row in rows))
    stages = list(dict.fromkeys(stage for stage, _ in learned))
    assert learned == [(stage, epoch) for stage in stages for epoch in (1, 2)]
    assert stages in (["photos", "memes"], ["memes"])


def test_it_has_data_sets_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other recipes want theirs in data/memes, split otherwise."""
    from typer.testing import CliRunner

    from train_scripts.__main__ import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELS_DIR", raising=False)
    Path("data/memes").mkdir(parents=True)
    Path("data/memes/train.jsonl").write_text('{"file_name": "images/a.png", "text": "Кот."}\n', "utf-8")
    listed = CliRunner().invoke(app, ["reproduce", "clipcap-mlp", "--dry-run"])
    assert listed.exit_code == 0, listed.output
    assert "data/reproduce/memes" in listed.output


@pytest.mark.parametrize("option", ["--data", "--out"])
def test_a_file_where_a_folder_is_to_be_is_refused(option: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from train_scripts.__main__ import app

    file = tmp_path / "file"
    file.touch()
    refused = CliRunner().invoke(app, ["reproduce", "clipcap-mlp", "--dry-run", option, str(file)])
    assert refused.exit_code == 2
    assert "is a file" in " ".join(refused.stderr.replace("│", " ").split())


def test_presets_say_which_of_them_are_reproduced() -> None:
    assert [name for name in sorted(names()) if preset(name).reproduced] == system_names()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet101-lstm-navec", ["navec-hudlit", "resnet101", "opus-mt-en-ru", "vizwiz-val", "by hand"]),
        ("clipcap-mlp", ["ruclip-vit-base-patch32-384", "rugpt3small", "about 605"]),
        ("rudolph", ["vqgan-gumbel-f8", "checkpoints/rudolph-memes", "about 707"]),
    ],
)
def test_a_dry_run_lists_steps_sizes_and_what_is_missing(
    name: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from train_scripts.__main__ import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELS_DIR", raising=False)
    listed = CliRunner().invoke(app, ["reproduce", name, "--dry-run"])
    assert listed.exit_code == 0, listed.output
    for words in expected:
        assert words in listed.output
    assert list(tmp_path.iterdir()) == [], "nothing was made"
