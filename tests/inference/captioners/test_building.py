"""Every system of the table: built at full size, learned by heart by its small twin, kept by checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inference.captioners.building import build, make_tokenizer
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.format import CheckpointError
from inference.common.types import DecodingOptions
from inference.presets.preset import names, preset
from inference.tokenizers.words import WordTokenizer
from tests.forked import Commands
from tests.inference.learning import CAPTIONS, captions_of, learn, pictures, tiny, tiny_model, tokenizer_for
from tests.inference.tokenizers.test_vectors import write_navec
from tests.readings import reading_of


@pytest.mark.parametrize("name", names())
def test_full_size_builds_and_makes_a_training_step(name: str) -> None:
    """On torch's meta device: every shape at full size, and every gradient, without the numbers."""
    with torch.device("meta"):
        model = build(preset(name)).train()
        size = model.encoder.preprocessing.size
        pixels = torch.empty(2, 3, size, size)
        tokens = torch.empty(2, 7, dtype=torch.long)
    logits = model(pixels, tokens)
    assert logits.shape == (2, 7, model.decoder.vocabulary)
    assert preset(name).tokenizer.vocabulary == model.decoder.vocabulary
    logits.logsumexp(-1).sum().backward()
    for part, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, part
    # What `python -m inference models` says without building it.
    assert model.count() == (preset(name).trainable, preset(name).parameters)
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    frozen = [module for module in model.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not any(module.training for module in frozen)


@pytest.mark.parametrize("name", names())
def test_the_small_twin_learns_eight_pictures_by_heart(name: str, tmp_path: Path) -> None:
    model = tiny_model(name, tmp_path)
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
    # From the picture itself, one by one: nothing leans on the neighbours in a batch, and all have capitals.
    for image, caption in zip(pictures()[:2], CAPTIONS, strict=False):
        texts, likelihoods = model.describe([image], [reading_of()], DecodingOptions("greedy", max_tokens=60))
        assert texts == [caption]
        assert -1.5 < likelihoods[0] <= 0


def test_checkpoints_say_the_same_in_a_new_process(tmp_path: Path, command: Commands) -> None:
    """One of each family."""
    picture = tmp_path / "picture.png"
    pictures()[6].save(picture)
    expected = {}
    for name in ("resnet101-lstm-navec", "mobilenet-soft-attention", "clipcap-transformer"):
        folder = tmp_path / name
        folder.mkdir()
        model = tiny_model(name, folder)
        learn(model)
        model.save(folder, preset(name).options, preset=name)
        options = DecodingOptions("beam", max_tokens=60)
        expected[name] = model.eval().describe([pictures()[6]], [reading_of()], options)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert config["preset"] == name
        assert DecodingOptions.from_dict(config["decoding"]) == preset(name).options
    program = (
        "import json, sys; from pathlib import Path; from PIL import Image\n"
        "from inference.captioners.encoder_decoder.model import CaptionModel\n"
        "from inference.common.types import DecodingOptions\n"
        "from tests.readings import reading_of\n"
        "image, options = Image.open(sys.argv[1]), DecodingOptions('beam', max_tokens=60)\n"
        "for folder in sys.argv[2:]:\n"
        "    model = CaptionModel.load(Path(folder))\n"
        "    print(json.dumps(model.describe([image], [reading_of()], options)))"
    )
    run = command(picture, *(tmp_path / name for name in expected), code=program)
    assert run.status == 0, run.stderr
    for line, (told, before) in zip(run.stdout.splitlines(), expected.values(), strict=True):
        texts, likelihoods = json.loads(line)
        assert texts == told == [CAPTIONS[6]]
        assert likelihoods == pytest.approx(before, abs=1e-4)


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    model = tiny_model("mobilenet-soft-attention", tmp_path)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model.save(folder, preset("mobilenet-soft-attention").options)
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


def test_a_vocabulary_of_its_own_moves_the_special_tokens(tmp_path: Path) -> None:
    tokenizer = tokenizer_for("gpt2-inception-prefix", tmp_path)
    size = len(tokenizer)
    model = build(tiny("gpt2-inception-prefix"), tokenizer=tokenizer)
    assert model.decoder.vocabulary == size + 2
    assert model.decoder.settings["image_token"] == size
    assert (model.special.bos, model.special.eos) == (size + 1, tokenizer.eos)
    words = tokenizer_for("resnet101-lstm-navec", tmp_path)
    navec = build(tiny("resnet101-lstm-navec"), tokenizer=words)
    assert (navec.special.eos, navec.special.forbidden) == (words.pad, (1,))
    with pytest.raises(ValueError, match="needs a GPT-2 tokenizer"):
        build(tiny("gpt2-inception-prefix"), tokenizer=words)


def test_the_words_read_are_an_option_that_a_checkpoint_keeps(tmp_path: Path) -> None:
    plain = tokenizer_for("resnet34-lstm", tmp_path)
    with pytest.raises(ValueError, match="takes the words read as 'slots' or 'none', not as 'prompt'"):
        build(tiny("resnet34-lstm"), tokenizer=plain, words="prompt")
    with pytest.raises(ValueError, match="has no words <line0>"):
        build(tiny("resnet34-lstm"), tokenizer=plain, words="slots")
    assert {preset(name).reads for name in names()} == {"slots", "prompt"}
    for name in ("resnet34-lstm", "rudolph"):
        assert build(tiny(name), tokenizer=tokenizer_for(name, tmp_path)).words == "none"
    tokenizer = make_tokenizer(preset("resnet34-lstm"), CAPTIONS * 6, words="slots")
    model = build(tiny("resnet34-lstm"), tokenizer=tokenizer, words="slots")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model.save(folder, preset("resnet34-lstm").options, preset="resnet34-lstm")
    assert CaptionModel.load(folder).words == "slots"
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    assert config["words"] == "slots"
    path.write_text(json.dumps({**config, "words": "aloud"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="words must be one of none, slots, prompt, not 'aloud'"):
        CaptionModel.load(folder)
    # Checkpoints of before there was a choice.
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "words"}), encoding="utf-8")
    assert CaptionModel.load(folder).words == "none"


@pytest.mark.parametrize(
    ("name", "trains"),
    [("resnet101-lstm-navec", False), ("inception-attention", False), ("inception-bahdanau", True)],
)
def test_word_vectors_start_from_their_file(name: str, trains: bool, tmp_path: Path) -> None:
    words = make_tokenizer(preset(name), CAPTIONS * 6, words="slots", slots=2)
    assert isinstance(words, WordTokenizer)
    if name == "resnet101-lstm-navec":
        path, width = tmp_path / "navec.tar", 6
        known = ["круг", "синий", "<unk>", "<pad>"]
        expected = dict(zip(known, write_navec(path, known), strict=True))
    else:
        path, width = tmp_path / "vectors.vec", 3
        path.write_text("2 3\nкруг 0.5 1 -2\nсиний 3 4 5\n", encoding="utf-8")
        expected = {"круг": np.array([0.5, 1, -2]), "синий": np.array([3, 4, 5])}
    changes = {"embedding": width, "train_embedding": trains}
    model = build(tiny(name, **changes), tokenizer=words, vectors=path, words="slots")
    weight = model.decoder.get_parameter("embedding.weight")
    assert weight.requires_grad == trains
    for word in ("круг", "синий"):
        np.testing.assert_allclose(weight[words.ids[word]].detach(), expected[word], rtol=1e-6)
    first, second = weight[words.slots].detach()
    assert not torch.equal(first, second)
    # And they stay, or are tuned.
    before = weight.detach().clone()
    model.train()
    model.loss(model.encoder.pixels(pictures()[:2]), model.batch(CAPTIONS[:2])).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    assert torch.equal(before, weight.detach()) != trains


def test_vectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    words = make_tokenizer(preset("inception-attention"), CAPTIONS * 6)
    path = tmp_path / "vectors.txt"
    path.write_text("круг 1 2 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"are \(\d+, 3\), the decoder needs \(\d+, 32\)"):
        build(tiny("inception-attention"), tokenizer=words, vectors=path)
    with pytest.raises(FileNotFoundError, match=r"missing\.vec are missing"):
        build(tiny("inception-attention"), tokenizer=words, vectors=tmp_path / "missing.vec")
    with pytest.raises(ValueError, match="are for a recurrent decoder with a vocabulary of words"):
        build(tiny("clipcap-mlp"), tokenizer=tokenizer_for("clipcap-mlp", tmp_path), vectors=path)
