"""`reproduce` to its end on small stand-ins over real HTTP, killed in every step and taken up again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from inference.checkpoints.models import list_models
from inference.presets.preset import names, preset
from tests.host import serving
from tests.train_scripts.reproduce.forked import commands
from tests.train_scripts.reproduce.standins import MEMES, network, photos, repository, serve
from train_scripts.reproduce.plans import system_names

SMALL = {
    "encoder.settings.preprocessing": "{size: 64}",
    "decoder.embedding": 16,
    "decoder.hidden": 16,
    "decoding": "{strategy: greedy, max_tokens: 8}",
    "stages.photos.epochs": 2,
    "stages.memes.epochs": 2,
    "save_steps": 1,
    "workers": 1,
}
# In which moment the command is killed: step by step.
KILLS = [
    (r"os\.rename \S*meme-captions\.zip\.part", 1),  # all of it has come
    (r"open \S*resnet50\S*\.part w", 1),
    (r"open \S*unpacked/\.memes\.part/\d+\.jpg w", 3),
    (r"os\.link \S*unpacked/memes", 3),
    (r"open \S*/steps\.jsonl a", 2),  # of the first stage
    (r"open \S*/epochs\.jsonl a", 3),  # of the second one
    (r"os\.rename \S*report\.html", 1),
    (r"open \S*/test-\w+\.jsonl a", 2),
    (r"os\.rename \S*\.promoting/", 1),
]


def test_killed_in_every_step_and_resumed_to_its_end(tmp_path: Path) -> None:
    data, models, run = tmp_path / "data", tmp_path / "models", tmp_path / "run"
    words: list[object] = ["reproduce", "resnet50-lstm", "--data", data, "--out", run]
    for key, value in {**SMALL, "cache": tmp_path / "features"}.items():
        words += ["--set", f"{key}={value}"]
    with serving() as host, commands(MODELS_DIR=str(models)) as command:
        repository_data, weights = repository(), network("resnet50")
        entries = {
            "meme-captions": [("meme-captions.zip", repository_data)],
            "resnet50": [("resnet50-0676ba61.pth", weights)],
        }
        words += ["--addresses", serve(host, tmp_path, entries)]
        by_hand = command(*words)
        assert by_hand.status == 1
        assert by_hand.output.startswith("Error: Fetch from https://www.kaggle.com/")
        assert by_hand.output.count("\n") == 1
        assert host.asked == [], "a person is asked before anything slow"
        (data / "archives" / "flickr30k-images" / "archive.zip").write_bytes(photos())
        for pattern, time in KILLS:
            died = command(*words, dies=pattern, time=time)
            assert died.killed, (pattern, died.output)
        done = command(*words)
        assert done.status == 0, done.output
        assert done.output.count("done before") == 10, "all but the last step"
        assert "│ BLEU-4 " in done.output and "0.043" in done.output
        # Nothing that had come came again: of what was whole only its end was asked for.
        whole = f"bytes={len(repository_data)}-"
        assert [asked for path, asked in host.asked if "meme" in path] == [None, whole]
        assert [asked for path, asked in host.asked if "resnet50" in path] == [None, None]
        _learned_each_step_once(run)
        (said,) = run.glob("test-*.jsonl")
        rows = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()]
        assert sorted(row["file_name"] for row in rows) == [
            f"images/{number}.jpg" for number in MEMES["test"]
        ]
        (found,) = list_models(models)
        assert found.name == "resnet50-lstm" and "ResNet-50" in found.description_ru
        # What everything was made from may go.
        shutil.rmtree(data / "archives")
        shutil.rmtree(data / "unpacked")
        again = command(*words)
        assert (again.status, again.output.count("done before")) == (0, 11)
        listed = command(*words, "--dry-run")
        assert "missing" not in listed.output and "to do" not in listed.output
        other = command(*words, "--set", "stages.memes.epochs=3")
        assert other.status == 1
        assert "was started with another stages.memes.epochs" in other.output


def _learned_each_step_once(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert [(row["stage"], row["epoch"]) for row in rows] == sorted(
        ((row["stage"], row["epoch"]) for row in rows), key=lambda place: (place[0] == "memes", place[1])
    )
    assert {(row["stage"], row["epoch"]) for row in rows} == {
        ("photos", 1), ("photos", 2), ("memes", 1), ("memes", 2)
    }  # fmt: skip


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
