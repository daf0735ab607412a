"""Whole runs: learned by heart, interrupted and resumed to the same numbers, shared by two processes."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.format import read_training
from inference.checkpoints.models import list_models
from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED
from inference.presets.preset import names
from tests.disk import files_of_at_most
from tests.forked import Commands
from tests.inference.learning import CAPTIONS, tiny_model
from tests.readings import reading_of
from tests.train_scripts.drawn_data import SMALL_DECODER, SMALL_ENCODER, drawn_data, small_config, write_rows
from train_scripts.pictures import UnreadablePicturesError
from train_scripts.training import measuring
from train_scripts.training.board import Board
from train_scripts.training.config import load_config
from train_scripts.training.files import load_tensors, save_tensors
from train_scripts.training.loop import accelerator_of
from train_scripts.training.objective import Objective, sampled_logits
from train_scripts.training.run import train
from train_scripts.training.state import RunFolder

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 240.0

pytestmark = pytest.mark.filterwarnings("ignore:.*")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "data"
    drawn_data(folder)
    return folder


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]


def test_learned_by_heart_with_a_report_and_a_checkpoint_that_runs(data: Path, tmp_path: Path) -> None:
    """The best weights by BLEU-3; then the folder captions a picture by itself, and is trained further."""
    stage = {"epochs": 60, "metric": "bleu_3", "validate_every": 15, "patience": 3}
    # Without the running statistics of a BatchNorm, which so few steps leave halfway.
    config = load_config(small_config(data, decoder={**SMALL_DECODER, "batchnorm": False}, stage=stage))
    run = tmp_path / "run"
    model_folder = train(config, run)
    assert model_folder == run / "model"
    (info,) = list_models(run)
    assert info.name == "model"
    assert "Frozen ResNet-101" in info.description
    model = CaptionModel.load(model_folder)
    for number in (1, 4):
        picture = Image.open(data / "images" / f"{number}.png").convert("RGB")
        assert model.describe([picture], [reading_of()], DecodingOptions("greedy"))[0] == [CAPTIONS[number]]
    record = read_training(model_folder)
    assert record.lineage is not None
    assert record.lineage.parent is None
    assert record.lineage.data[0]["rows"] == 8
    assert record.scores["scores"]["bleu3"]["value"] == pytest.approx(1.0)
    assert any("both in train and in val" in note for note in record.training["notes"])
    assert len((model_folder / "config.json").read_text(encoding="utf-8").splitlines()) <= 80
    page = (run / "report.html").read_text(encoding="utf-8")
    for report in (page, (run / "report.md").read_text(encoding="utf-8")):
        assert f"python -m tensorboard.main --logdir {run / 'tensorboard'}" in report
    assert page.count("data:image/jpeg;base64,") == 2 + 8
    assert CAPTIONS[6].split()[1] in page
    assert 'src="http' not in page
    assert "| BLEU-3" in (run / "report.md").read_text(encoding="utf-8")
    curves = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"train/loss", "train/rate", "val/bleu3"} <= set(curves.Tags()["scalars"])
    assert len(curves.Scalars("train/loss")) == len(steps_of(run))
    # Going on from it: the weights are its own, and it says whose child it is.
    child = config.model_copy(
        update={
            "start_from": model_folder,
            "stages": {"drawn": config.stages["drawn"].model_copy(update={"epochs": 1})},
        }
    )
    again = train(child, tmp_path / "child")
    lineage = read_training(again).lineage
    assert lineage is not None
    assert lineage.parent == info.checkpoint
    assert steps_of(tmp_path / "child")[0]["loss"] < 0.3


def test_an_epoch_whose_metric_is_not_defined_decides_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the precision of quoted words while the model quotes nothing yet: not the best, nor stale."""
    values = iter([math.nan, math.nan, 0.25, math.nan, 0.5])
    monkeypatch.setattr(measuring, "evaluate", lambda *_, **__: {"meteor": next(values)})
    stage = {"epochs": 5, "metric": "meteor", "patience": 1}
    train(load_config(small_config(data, stage=stage)), tmp_path / "run")
    text = (tmp_path / "run" / "epochs.jsonl").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert [json.loads(line).get("meteor") for line in text.splitlines()] == [None, None, 0.25, None, 0.5]
    report = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "kept epoch 5, best meteor 0.5000" in report
    assert "nan" not in report.lower().partition("## pictures")[0]


def test_a_run_with_one_val_picture_reports_what_is_defined(tmp_path: Path) -> None:
    rows = drawn_data(tmp_path / "data")
    write_rows(tmp_path / "data", rows[:9])
    folder = train(load_config(small_config(tmp_path / "data", stage={"epochs": 1})), tmp_path / "run")
    report = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "| CIDEr-D (of 10) ↑ | – | – … – |" in report
    scores = read_training(folder).scores["scores"]
    assert scores["cider_d"] == {"value": None, "low": None, "high": None}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| meteor | 0." in card
    assert "– … –" in card
    assert "cider_d" not in card


@pytest.mark.parametrize("wanted", ["bf16", "fp16"])
def test_16_bits_on_a_processor_are_refused_before_the_run_is_there(
    wanted: str, data: Path, tmp_path: Path, command: Commands
) -> None:
    path, run = small_config(data, stage={"epochs": 1}), tmp_path / "run"
    done = command("train", "--config", path, "--out", run, "--set", f"mixed_precision={wanted}")
    assert done.status == 1, done.output
    assert done.output.splitlines() == [
        f"Error: mixed_precision={wanted} needs a GPU (CUDA), and this run would be on the processor: set "
        "mixed_precision to no, or to auto, which takes 16 bits where they work."
    ]
    assert not run.exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_16_bits_are_refused_to_each_of_several_processes_and_none_waits_for_the_others(
    rank: int, data: Path, tmp_path: Path, command: Commands
) -> None:
    """With what `accelerate launch` tells two processes; only one of them is there."""
    path, run = small_config(data, stage={"epochs": 1}, mixed_precision="bf16"), tmp_path / "two"
    told = {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "ACCELERATE_USE_CPU": "true"},
    }
    done = command("train", "--config", path, "--out", run, environment=told)
    assert done.status != 0
    assert "mixed_precision=bf16 needs a GPU (CUDA)" in done.output
    assert "lstm" not in done.output.lower()
    assert not run.exists()


@pytest.mark.parametrize("preset", names())
@pytest.mark.parametrize("wanted", ["bf16", "fp16"])
def test_every_preset_refuses_16_bits_on_a_processor(wanted: str, preset: str) -> None:
    with pytest.raises(UserError, match=f"^mixed_precision={wanted} needs a GPU"):
        accelerator_of(load_config(preset, [f"mixed_precision={wanted}"]))


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_is_32_bits_on_every_processor_and_the_report_says_so(
    has_bf16: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: has_bf16, raising=False)
    losses = []
    for wanted in ("auto", "no"):
        config = load_config(small_config(data, stage={"epochs": 2}, mixed_precision=wanted))
        assert accelerator_of(config).mixed_precision == "no"
        model = train(config, tmp_path / wanted)
        assert "| Precision | 32 bits |" in (tmp_path / wanted / "report.md").read_text(encoding="utf-8")
        assert read_training(model).training["mixed_precision"] == "no"
        losses.append([row["loss"] for row in steps_of(tmp_path / wanted)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("changes", [{}, {"detectors": {"lemmas": 6, "before": "drawn"}}])
def test_a_run_that_was_stopped_and_killed_ends_with_the_same_numbers(
    changes: dict[str, Any], data: Path, tmp_path: Path, command: Commands
) -> None:
    stages = {"stage": {"epochs": 30, "schedule": {"name": "onecycle"}, "checkpoint_every": 20}}
    path = small_config(data, save_steps=3, mixed_precision="no", **stages, **changes)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(load_config(path), whole)
    begun = ("train", "--config", path, "--out", broken)
    first = command(*begun, dies=r"open .*/steps\.jsonl a", time=5, by=signal.SIGINT)
    assert first.status == 130, first.output
    assert "Go on with the same command and --resume" in first.output
    done = len(steps_of(broken))
    second = command(*begun, "--resume", dies=r"open .*/steps\.jsonl a", time=9)
    assert second.killed, second.output
    assert done < len(steps_of(broken)) < 60
    train(load_config(path), broken, resume=True)
    assert (broken / "steps.jsonl").read_bytes() == (whole / "steps.jsonl").read_bytes()
    for folder in ("model", "checkpoints/drawn-020"):
        weights = [(run / folder / "model.safetensors").read_bytes() for run in (whole, broken)]
        assert weights[0] == weights[1]
    with pytest.raises(UserError, match="already holds a run: go on with it by --resume"):
        train(load_config(path), broken)
    with pytest.raises(UserError, match=r"was started with another stages.drawn.optimizer.rate"):
        train(load_config(path, ["stages.drawn.optimizer.rate=1"]), broken, resume=True)
    with pytest.raises(UserError, match=r"There is no run in .* to go on with"):
        train(load_config(path), tmp_path / "nowhere", resume=True)


def test_two_processes_learn_what_one_does_with_twice_the_batch(data: Path, tmp_path: Path) -> None:
    """Real processes by `accelerate launch`; the BatchNorm of the bridge sees the rows of both."""
    path = small_config(data, stage={"epochs": 3, "batch": 2})
    launch = (sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu", "-m")
    both = subprocess.run(
        [*launch, "train_scripts", "train", "--config", path, "--out", tmp_path / "two"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert both.returncode == 0, both.stderr
    train(load_config(path, ["stages.drawn.batch=4"]), tmp_path / "one")
    train(
        load_config(path, ["stages.drawn.accumulate=2", "decoder.batchnorm=false"]), tmp_path / "accumulated"
    )
    train(load_config(path, ["stages.drawn.batch=4", "decoder.batchnorm=false"]), tmp_path / "plain")
    for one, other in (("one", "two"), ("plain", "accumulated")):
        losses = [[row["loss"] for row in steps_of(tmp_path / name)] for name in (one, other)]
        assert len(losses[0]) == 6
        assert losses[0] == pytest.approx(losses[1], rel=2e-4)
    state = load_tensors(tmp_path / "two" / "state.pt")
    assert state["processes"] == 2


@pytest.mark.parametrize(("rows", "accumulate"), [(3, 1), (5, 4), (3, 8)])
def test_a_row_that_is_left_over_is_learned_from_too(
    rows: int, accumulate: int, data: Path, tmp_path: Path
) -> None:
    """The BatchNorm of the bridge cannot learn from one row alone."""
    stage = {"epochs": 1, "batch": 2, "limit": rows, "accumulate": accumulate}
    train(load_config(small_config(data, cache="off", stage=stage)), tmp_path / "run")
    assert len(steps_of(tmp_path / "run")) == 1


def test_a_stage_of_one_row_cannot_be_normalised(data: Path, tmp_path: Path) -> None:
    config = load_config(small_config(data, cache="off", stage={"epochs": 1, "limit": 1}))
    with pytest.raises(UserError, match="stage drawn has only 1: give it more rows"):
        train(config, tmp_path / "run")


def test_a_full_disk_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_tensors(path, {"weights": torch.arange(10.0)})
    sentence = r"File too large; the one before it is whole.: make room there"
    with files_of_at_most(100_000), pytest.raises(UserError, match=sentence):
        save_tensors(path, {"weights": torch.zeros(1_000_000)})
    assert torch.equal(load_tensors(path)["weights"], torch.arange(10.0))
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="is damaged"):
        load_tensors(path)


def test_curves_that_cannot_be_written_are_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """TensorBoard writes in a thread of its own, which would show a traceback beside the sentence."""
    hook = threading.excepthook
    sentence = r"^The curves cannot be written to .*board \(File too large\): make room there"
    with files_of_at_most(10), pytest.raises(UserError, match=sentence):
        Board(tmp_path / "board", None)
    assert threading.excepthook is hook
    board = Board(tmp_path / "board", None)
    with files_of_at_most(100), pytest.raises(UserError, match=sentence):
        for step in range(10):
            board.show({"train/loss": 1.0}, step)
        board.close()
    board.close()
    assert threading.excepthook is hook
    assert capfd.readouterr().err == ""


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    config = load_config("resnet50-lstm")
    folder = RunFolder(tmp_path / "run", config, resume=False, processes=1)
    folder.begin(config)
    with (
        files_of_at_most(10),
        pytest.raises(UserError, match=r"steps.jsonl cannot be written \(File too"),
    ):
        folder.record("steps.jsonl", {"loss": 1.23456789})


def test_a_disk_that_fills_up_during_a_run_stops_it_with_one_sentence(
    data: Path, tmp_path: Path, command: Commands
) -> None:
    """And with room again the run ends as if nothing had been."""
    path = small_config(data, save_steps=2, stage={"epochs": 4})
    run = tmp_path / "run"
    with files_of_at_most(400_000, command.pid):  # the features fit, the state does not
        done = command("train", "--config", path, "--out", run)
    assert done.status == 1, done.stdout
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "state.pt (File too large; there was none before it): make room there" in sentence
    assert "Traceback" not in done.stderr
    train(load_config(path), run, resume=True)
    assert len(steps_of(run)) == 8


STAGE = {"epochs": 1, "batch": 4, "optimizer": {"rate": 0.003}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cache": "off"},
        {"stages": {"first": {**STAGE, "data": ["whole"]}, "second": {**STAGE, "data": ["drawn"]}}},
        {"encoder": {"weights": "random", "settings": {**SMALL_ENCODER, "trainable_stages": 1}}},
    ],
    ids=["kept", "seen anew", "of a later stage", "by an encoder that learns"],
)
def test_pictures_that_cannot_be_read_are_named_before_the_first_step(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "data"
    drawn_data(whole)
    drawn_data(folder)
    (folder / "images" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (folder / "images" / "6.png").write_bytes(b"")
    sources = {"whole": str(whole), "drawn": str(folder)}
    config = load_config(small_config(folder, **{"sources": sources, **changes}))
    with pytest.raises(UnreadablePicturesError, match=r"^2 pictures cannot be read") as caught:
        train(config, tmp_path / "run")
    assert f"{folder / 'images' / '3.png'}: The picture is damaged" in str(caught.value)
    assert f"{folder / 'images' / '6.png'}: The file is empty" in str(caught.value)
    assert str(caught.value).endswith("): mend the files, or remove their rows.")
    assert steps_of(tmp_path / "run") == []


def test_augmented_pictures_and_a_trained_encoder_are_never_cached(data: Path, tmp_path: Path) -> None:
    cache = tmp_path / "features"
    changes = {"epochs": 1, "augment": {}, "teacher_forcing": 0.5}
    train(load_config(small_config(data, cache=str(cache), stage=changes)), tmp_path / "a")
    encoder = {"weights": "random", "settings": {**SMALL_ENCODER, "trainable_stages": 1}}
    path = small_config(data, cache=str(cache), encoder=encoder, stage={"epochs": 1})
    train(load_config(path), tmp_path / "b")
    assert not cache.exists()
    before = CaptionModel.load(tmp_path / "a" / "model").encoder.state_dict()
    after = CaptionModel.load(tmp_path / "b" / "model").encoder.state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"layer4"}


def test_a_row_counts_as_often_as_its_weight_says(tmp_path: Path) -> None:
    model = tiny_model("inception-lstm-glove", tmp_path).eval()
    memory = torch.randn(3, 2048)
    batch = model.batch(CAPTIONS[:3])
    objective = Objective(model)
    alone = [
        objective(memory[i : i + 1], Batch(batch.tokens[i : i + 1], batch.targets[i : i + 1]), (1.0,))
        for i in range(3)
    ]
    weighted = objective(memory, batch, (2.0, 0.0, 0.5))
    assert float(weighted) == pytest.approx(float(2 * alone[0] + 0.5 * alone[2]), rel=1e-5)
    assert float(objective(memory, batch, (1.0,) * 3)) == pytest.approx(float(sum(alone)), rel=1e-5)


def test_scheduled_sampling_feeds_the_models_own_words(tmp_path: Path) -> None:
    model = tiny_model("inception-lstm-glove", tmp_path).eval()
    memory = torch.randn(4, 2048)
    batch = model.batch(CAPTIONS[:4])
    true = model.decoder(memory, batch.tokens)
    torch.testing.assert_close(sampled_logits(model.decoder, memory, batch, 1.0), true)
    own = sampled_logits(model.decoder, memory, batch, 1e-9)
    said = own.argmax(-1)
    fed = torch.cat([batch.tokens[:, :1], said[:, :-1]], 1)
    given = torch.cat([torch.zeros(4, 1, dtype=torch.bool), batch.targets[:, :-1] == IGNORED], 1)
    fed = torch.where(given, batch.tokens, fed)
    torch.testing.assert_close(model.decoder(memory, fed), own)
    assert not torch.allclose(own, true)
