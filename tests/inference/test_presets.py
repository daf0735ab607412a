"""Every system of the table: built at full size, learned by heart by its small twin, kept by checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from inference.caption_model import CaptionModel
from inference.checkpoint import CheckpointError
from inference.presets import PRESETS, build, preset
from inference.types import DecodingOptions, EngineError
from tests.inference.learning import CAPTIONS, captions_of, learn, pictures, smoke_model, tokenizer_for

# Trainable and all parameters at full size, in millions: a change of any size of the table shows here.
MILLIONS = {
    "resnet50-lstm": (25.75, 49.26),
    "resnet101-lstm-navec": (14.64, 63.14),
    "resnet34-lstm": (14.86, 36.14),
    "densenet121-lstm": (50.43, 57.38),
    "fasterrcnn-lstm": (9.47, 36.32),
    "inception-lstm-glove": (14.03, 41.81),
    "inception-lstm-crawl": (14.29, 42.07),
    "inception-attention": (19.53, 47.32),
    "resnext101-attention": (19.53, 112.27),
    "resnet101-attention": (19.53, 68.03),
    "resnet101-lstm": (14.03, 62.53),
    "resnet101-attention-dot": (19.27, 67.77),
    "inception-bahdanau": (10.98, 32.76),
    "inception-bahdanau-gru": (8.99, 30.77),
    "mobilenet-soft-attention": (56.79, 57.72),
    "clipcap-mlp": (31.47, 244.62),
    "clipcap-mlp-tuned": (156.70, 244.62),
    "clipcap-transformer": (53.59, 266.74),
    "gpt2-inception-prefix": (126.01, 147.80),
    "gpt2-resnet-multilayer-prefix": (128.18, 151.69),
    "rudolph": (50.85, 383.68),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small models lose more to waiting for one another's threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", PRESETS)
def test_full_size_builds_and_makes_a_training_step(name: str) -> None:
    """On torch's meta device: every shape at full size, and every gradient, without the numbers."""
    with torch.device("meta"):
        model = build(name).train()
        size = model.encoder.preprocessing.size
        pixels = torch.empty(2, 3, size, size)
        tokens = torch.empty(2, 7, dtype=torch.long)
    logits = model(pixels, tokens)
    assert logits.shape == (2, 7, model.decoder.vocabulary)
    assert preset(name).decoder["vocabulary"] - model.decoder.vocabulary in {0, 64}  # RuDOLPH's left paddings
    logits.logsumexp(-1).sum().backward()
    for part, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, part
    trained, every = model.count()
    assert (round(trained / 1e6, 2), round(every / 1e6, 2)) == MILLIONS[name]
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    frozen = [module for module in model.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not any(module.training for module in frozen)


@pytest.mark.parametrize("name", PRESETS)
def test_the_small_twin_learns_eight_pictures_by_heart(name: str, tmp_path: Path) -> None:
    model = smoke_model(name, tmp_path)
    memory, _steps = learn(model)
    model.eval()
    assert model.tokenizer is not None
    for options in (
        DecodingOptions("greedy", max_tokens=60),
        DecodingOptions("beam", beams=3, max_tokens=60),
        DecodingOptions("sample", temperature=0.05, seed=1, max_tokens=60),
    ):
        said = model.generate(memory, options)
        assert [model.tokenizer.decode(tokens) for tokens in said.tokens] == captions_of(model)
        assert all(said.finished)
    # From the picture itself, one by one: nothing leans on the neighbours in a batch.
    for image, caption in zip(pictures()[:2], captions_of(model), strict=False):
        texts, likelihoods = model.describe([image], [()], DecodingOptions("greedy", max_tokens=60))
        assert texts == [caption]
        assert -1.5 < likelihoods[0] <= 0


@pytest.mark.parametrize("name", ["resnet101-lstm-navec", "mobilenet-soft-attention", "clipcap-transformer"])
def test_a_checkpoint_says_the_same_in_a_new_process(name: str, tmp_path: Path) -> None:
    model = smoke_model(name, tmp_path)
    learn(model)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model.save(folder, preset(name).options(), preset=name)
    picture = tmp_path / "picture.png"
    pictures()[6].save(picture)
    program = (
        "import json, sys; from pathlib import Path; from PIL import Image\n"
        "from inference.caption_model import CaptionModel; from inference.types import DecodingOptions\n"
        "model = CaptionModel.load(Path(sys.argv[1])); image = Image.open(sys.argv[2])\n"
        "print(json.dumps(model.describe([image], [()], DecodingOptions('beam', max_tokens=60))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(picture)], capture_output=True, text=True, check=True
    )
    texts, likelihoods = json.loads(run.stdout)
    assert texts == [CAPTIONS[6]]
    expected = model.eval().describe([pictures()[6]], [()], DecodingOptions("beam", max_tokens=60))
    assert expected[0] == texts
    assert likelihoods == pytest.approx(expected[1], abs=1e-4)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["preset"] == name
    assert DecodingOptions.from_dict(config["decoding"]) == preset(name).options()


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    model = smoke_model("mobilenet-soft-attention", tmp_path)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model.save(folder, preset("mobilenet-soft-attention").options())
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for change, sentence in (
        ({"architecture": "meme-small"}, "is of the architecture 'meme-small', not 'encoder-decoder'"),
        ({"tokenizer": "bytes"}, "cannot be built: Unknown tokenizer 'bytes'"),
        ({"encoder": {"kind": "resnet9"}}, "cannot be built: Unknown encoder 'resnet9'"),
        ({"decoder": {**config["decoder"], "hidden": 32}}, "but config.json asks for"),
        ({"decoder": {**config["decoder"], "vocabulary": 5}}, "the decoder 5: build the decoder for this"),
    ):
        path.write_text(json.dumps({**config, **change}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=sentence):
            CaptionModel.load(folder)


def test_the_table_is_whole_and_a_wrong_name_lists_it() -> None:
    assert set(PRESETS) == set(MILLIONS)
    for chosen in PRESETS.values():
        assert chosen.options()
        assert chosen.description.endswith(".")
    with pytest.raises(
        EngineError, match=r"no preset named 'resnet9': choose one of resnet50-lstm, .*clipcap"
    ):
        preset("resnet9")


def test_a_vocabulary_of_its_own_moves_the_special_tokens(tmp_path: Path) -> None:
    tokenizer = tokenizer_for("gpt2-inception-prefix", tmp_path)
    size = len(tokenizer)
    model = build("gpt2-inception-prefix", tokenizer=tokenizer, smoke=True)
    assert model.decoder.vocabulary == size + 2
    assert model.decoder.settings["image_token"] == size
    assert (model.special.bos, model.special.eos) == (size + 1, tokenizer.eos)
    words = tokenizer_for("resnet101-lstm-navec", tmp_path)
    navec = build("resnet101-lstm-navec", tokenizer=words, smoke=True)
    assert (navec.special.eos, navec.special.forbidden) == (words.pad, (1,))
    with pytest.raises(ValueError, match="needs a GPT-2 tokenizer"):
        build("gpt2-inception-prefix", tokenizer=words, smoke=True)
