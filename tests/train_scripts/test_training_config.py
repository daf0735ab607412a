"""Configs: what is wrong in one is said in one sentence, before anything slow begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inference.common.errors import UserError
from inference.presets.preset import names
from tests.train_scripts.drawn_data import drawn_data, small_config, write_rows
from train_scripts.training.building import build_model
from train_scripts.training.config import StageConfig, config_names, load_config
from train_scripts.training.data import batches_of, read_rows
from train_scripts.training.inputs import read_stage
from train_scripts.training.optimising import make_optimizer, make_schedule


def test_every_preset_has_a_recipe_of_its_own_name() -> None:
    assert config_names() == names()
    for name in names():
        assert load_config(name).preset == name


# Of the last stage: optimizer, rate, rows a step, epochs. Clipped at 5 where the original clipped.
ORIGINALS = {
    "resnet50-lstm": ("adam", 1e-3, 10, 40),
    "resnet101-lstm-navec": ("adam", 1e-3, 25, 20),
    "resnet34-lstm": ("adam", 1e-3, 100, 10),
    "fasterrcnn-lstm": ("adam", 1e-4, 16, 20),
    "inception-lstm-glove": ("adam", 5e-4, 32, 4),  # 75,000 steps over COCO
    "inception-lstm-crawl": ("adam", 5e-4, 32, 4),
    "inception-attention": ("adam", 5e-4, 32, 30),
    "resnext101-attention": ("adam", 5e-4, 32, 30),
    "resnet101-attention": ("adam", 5e-4, 32, 30),
    "resnet101-lstm": ("adam", 5e-4, 32, 30),
    "resnet101-attention-dot": ("adam", 5e-4, 32, 30),
    "inception-bahdanau": ("adam", 1e-3, 64, 45),
    "inception-bahdanau-gru": ("adam", 1e-3, 64, 45),
    "clipcap-mlp": ("adamw", 2e-5, 10, 10),
    "clipcap-mlp-tuned": ("adamw", 2e-5, 10, 10),
    "clipcap-transformer": ("adamw", 2e-5, 10, 10),
    "gpt2-inception-prefix": ("adamw", 1e-3, 80, 10),
    "rudolph": ("adam8bit", 2e-5, 5, 20),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_recipes_are_those_of_the_originals(name: str) -> None:
    stage = list(load_config(name).stages.values())[-1]
    rows = stage.batch * stage.accumulate
    assert (stage.optimizer.name, stage.optimizer.rate, rows, stage.epochs) == ORIGINALS[name]


def test_what_only_some_originals_did() -> None:
    stages = {name: load_config(name).stages for name in names()}
    forced = {name for name, own in stages.items() if any(one.teacher_forcing < 1 for one in own.values())}
    assert forced == {
        *("inception-lstm-glove", "inception-lstm-crawl", "inception-attention", "resnext101-attention"),
        *("resnet101-attention", "resnet101-lstm", "resnet101-attention-dot"),
    }
    assert stages["inception-lstm-glove"]["photos"].schedule.milestones == (25_000, 50_000)
    assert stages["inception-bahdanau"]["coco"].pairs_per_epoch == 50_000
    assert stages["gpt2-inception-prefix"]["photos"].schedule.name == "noam"
    assert stages["gpt2-inception-prefix"]["photos"].schedule.warmup == 50
    assert stages["rudolph"]["memes"].schedule.name == "onecycle"
    memes = stages["resnet50-lstm"]["memes"]
    assert (memes.metric, memes.patience) == ("bleu3", 10)
    assert [one.checkpoint_every for one in stages["resnet101-lstm-navec"].values()] == [2, 2]
    for own in stages.values():
        assert all(one.augment is None for one in own.values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("presett: resnet50-lstm", "has the unknown key 'presett': did you mean 'preset'"),
        (
            "extends: resnet50-lstm\nstages: {memes: {optimizer: {lrate: 1}}}",
            "has the unknown key 'stages.memes.optimizer.lrate': did you mean 'rate'",
        ),
        (
            "extends: resnet50-lstm\nstages: {memes: {zzz: 1}}",
            "unknown key 'stages.memes.zzz': choose one of data, epochs",
        ),
        (
            "extends: resnet50-lstm\npreset: resnet51-lstm",
            "There is no preset 'resnet51-lstm': did you mean 'resnet50-lstm'.$",
        ),
        (
            "extends: resnet50-lstm\nstages: {memes: {metric: blue}}",
            "there is no metric 'blue', choose one of val",
        ),
        (
            "extends: resnet50-lstm\nstages: {memes: {epochs: 0}}",
            "stages.memes.epochs .it is 0. is not right",
        ),
        (
            "extends: resnet50-lstm\nstages: {memes: {data: [cats]}}",
            "needs the data 'cats', which sources does not",
        ),
        (
            "extends: resnet50-lstm\nstages: {memes: {optimizer: {betas: [1, 2]}}}",
            "betas .it is .1, 2.. is not right: both must be at least 0 and below 1",
        ),
        (
            "extends: resnet50-lstm\nwords: bananas",
            "words .it is 'bananas'. is not right: Input should be 'none'",
        ),
        ("preset: resnet50-lstm", "lacks the key 'sources'"),
        (
            "extends: resnet50-lstm\nsmoke: true",
            "smoke is no setting any more, write the sizes under decoder",
        ),
        ("a: [1", "line 1, is not valid YAML"),
        ("- 1", "is no config"),
    ],
)
def test_what_is_wrong_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as caught:
        load_config(path)
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("decoder.hiden=5", "The decoder 'recurrent' has no setting 'hiden': did you mean 'hidden'?"),
        ("decoder.zzz=5", "The decoder 'recurrent' has no setting 'zzz': choose one of vocabulary, picture,"),
        (
            "decoder.cell=rnn",
            "The setting 'cell' of the decoder 'recurrent' is 'rnn': choose one of lstm, gru.",
        ),
        (
            "decoder.hidden=abc",
            "The setting 'hidden' of the decoder 'recurrent' is 'abc': write a whole number.",
        ),
        ("decoder.batchnorm=1", "is 1: write true or false."),
        (
            "encoder.settings.yield=grid",
            "The encoder 'resnet34' has no setting 'yield': did you mean 'yields'?",
        ),
        ("encoder.settings.yields=place", "is 'place': choose one of global, grid, layers"),
        ("decoder.picture=2048", "cannot take what the encoder yields, 'global' of the width 512 (addmm"),
        (
            "decoder.attention=dot",
            "cannot take what the encoder yields, 'global' of the width 512 (Attention needs",
        ),
        (
            "encoder.settings.yields=layers",
            "'layers' of the width 64, 128, 256, 512 (A recurrent decoder takes",
        ),
    ],
)
def test_parts_that_do_not_fit_are_one_sentence(setting: str, sentence: str, tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    config = load_config(small_config(tmp_path / "data"), [setting])
    with pytest.raises(UserError) as caught:
        build_model(config, ["кот сидит"], None, [])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_extends_another_and_the_command_line_both(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: resnet50-lstm\nstages: {photos: null, memes: {epochs: 3}}\n", encoding="utf-8")
    config = load_config(path, ["stages.memes.optimizer.rate=1e-4", "seed=7", "stages.memes.metric=bleu_3"])
    assert list(config.stages) == ["memes"]
    memes = config.stages["memes"]
    assert (memes.epochs, memes.batch, memes.optimizer.rate, config.seed) == (3, 10, 1e-4, 7)
    assert memes.metric == "bleu3"
    off = load_config(path, ["cache=off", "mixed_precision=no"])  # which YAML reads as false
    assert (off.cache, off.mixed_precision) == ("off", "no")
    with pytest.raises(UserError, match=r"--set has the unknown key 'sed': did you mean 'seed'"):
        load_config(path, ["sed=1"])
    with pytest.raises(UserError, match=r"cannot be read .* one of clipcap-mlp"):
        load_config("nothing")
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(again) == config


def test_rows_that_cannot_be_used_are_named_with_their_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    drawn_data(folder)
    path = folder / "metadata.jsonl"
    whole = path.read_text(encoding="utf-8")
    for broken, sentence in (
        ('{"file_name": "images/0.png", "te', "line 11, is not valid JSON"),
        ('{"file_name": "images/0.png"}', 'line 11, has no "text" for images/0.png'),
        ('{"file_name": "../0.png", "text": "x"}', 'line 11, has no "file_name" inside'),
        (
            '{"file_name": "images/9.png", "text": "x"}',
            "line 11, names the picture images/9.png, which is not",
        ),
        ('{"file_name": "images/0.png", "text": "x", "weight": -1}', 'line 11, has the "weight" -1'),
    ):
        path.write_text(whole + broken + "\n", encoding="utf-8")
        with pytest.raises(UserError, match=sentence):
            read_rows(folder, "train")
    path.write_text(whole, encoding="utf-8")
    assert len(read_rows(folder, "train")) == 8
    assert [row.file_name for row in read_rows(folder, "val")] == ["images/0.png", "images/6.png"]


def test_an_epoch_holds_every_row_once_in_even_batches_of_like_length() -> None:
    lengths = [(7 * i) % 50 + 1 for i in range(101)]
    batches = batches_of(lengths, 25, seed="a")
    assert sorted(i for batch in batches for i in batch) == list(range(101))
    assert sorted(map(len, batches)) == [20, 20, 20, 20, 21]  # never a last batch of one row
    assert batches == batches_of(lengths, 25, seed="a")
    assert batches != batches_of(lengths, 25, seed="b")
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches]
    assert max(spread) <= 13
    assert sum(map(len, batches_of(lengths, 25, seed="a", pairs=30))) == 30


def test_no_batch_has_a_single_row_where_two_are_needed() -> None:
    """Whatever is left over behind the batches that are sorted together, or by an odd number of rows."""
    for rows, size in ((3, 2), (81, 2), (401, 10), (1001, 25), (1999, 25)):
        batches = batches_of([i % 7 for i in range(rows)], size, seed="a", least=2)
        assert sorted(i for batch in batches for i in batch) == list(range(rows))
        assert 2 <= min(map(len, batches)) <= max(map(len, batches)) <= max(size, 3)
    plain = batches_of([1] * 1001, 25, seed="a")
    assert (len(plain), min(map(len, plain))) == (41, 24)


def _rates(schedule: dict[str, object], total: int) -> list[float]:
    stage = StageConfig.model_validate(
        {"data": ["x"], "epochs": 1, "batch": 1, "optimizer": {"rate": 0.1}, "schedule": schedule}
    )
    optimizer = make_optimizer(stage.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    made = make_schedule("s", stage, optimizer, total)
    rates = []
    for _ in range(total):
        rates.append(float(made.get_last_lr()[0]))
        optimizer.step()
        made.step()
    return rates


def test_the_learning_rates_of_the_originals() -> None:
    assert _rates({"name": "constant", "warmup": 2}, 4) == pytest.approx([0.05, 0.1, 0.1, 0.1])
    assert _rates({"name": "linear", "warmup": 1}, 4) == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert _rates({"name": "noam", "warmup": 2}, 9)[:2] == pytest.approx([0.05, 0.1])
    assert _rates({"name": "noam", "warmup": 2}, 9)[7] == pytest.approx(0.1 * (2 / 8) ** 0.5)
    assert _rates({"name": "step", "milestones": [2, 3]}, 4) == pytest.approx([0.1, 0.1, 0.05, 0.025])
    rising = _rates({"name": "onecycle"}, 20)
    assert rising[0] == pytest.approx(0.004)
    assert max(rising) == pytest.approx(0.1)
    assert rising[-1] < 1e-5
    with pytest.raises(UserError, match="Stage s warms up for 5000 steps, but has only 2550"):
        _rates({"name": "linear", "warmup": 5000}, 2550)


@pytest.mark.parametrize(
    ("metric", "texts"),
    [
        ("cider_d", ["Синий квадрат."]),
        ("cider_d", ["Синий квадрат.", "Синий квадрат.", "синий  квадрат."]),
        ("quote_recall", ["Синий квадрат.", "Пустая картинка."]),
        ("quote_cer", ["Синий квадрат.", "Пустая картинка."]),
    ],
)
def test_a_metric_that_no_caption_could_have_is_refused_at_once(
    metric: str, texts: list[str], tmp_path: Path
) -> None:
    rows = drawn_data(tmp_path / "data")
    train = [row for row in rows if row["split"] == "train"]
    val = [{**row, "split": "val", "text": text} for row, text in zip(train, texts, strict=False)]
    write_rows(tmp_path / "data", [*train, *val])
    config = load_config(small_config(tmp_path / "data", stage={"metric": metric}))
    with pytest.raises(UserError, match=rf"^{metric}, by which stage drawn is to stop, is not defined on "):
        read_stage(config, "drawn")
    assert read_stage(load_config(small_config(tmp_path / "data", stage={"metric": "meteor"})), "drawn").val


def test_a_metric_is_asked_of_the_pictures_that_are_scored(tmp_path: Path) -> None:
    """Two pictures tell apart what one does not."""
    drawn_data(tmp_path / "data")
    stage = {"metric": "cider_d"}
    assert read_stage(load_config(small_config(tmp_path / "data", stage=stage)), "drawn").val
    one = load_config(small_config(tmp_path / "data", stage={**stage, "validate_pictures": 1}))
    with pytest.raises(UserError, match="is not defined on its 1 pictures of the split val"):
        read_stage(one, "drawn")
