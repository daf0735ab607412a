"""convert and verify: every format from files as its author's code writes them, to captions by name."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from inference.__main__ import app
from inference.captioners.captioner import load_captioner
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.verify import drawn_picture
from inference.checkpoints import manifest
from inference.checkpoints.format import read_training
from inference.checkpoints.models import list_models
from inference.encoders.ruclip_files import import_ruclip
from inference.importers.clipcap import import_clipcap
from inference.presets.preset import preset
from tests.inference.decoders import test_rudolph as original_rudolph
from tests.inference.encoders import test_vqgan
from tests.inference.encoders.test_clip_resnet import original_state as clip_resnet_state
from tests.inference.encoders.test_ruclip import SMALL, original_state
from tests.inference.importers.test_clipcap import original as clipcap_state
from tests.inference.importers.test_meme_baseline import Baseline
from tests.inference.importers.test_soft_attention import soft_attention_state
from tests.inference.learning import tokenizer_for
from tests.inference.tokenizers.test_youtokentome import RULES
from tests.inference.tokenizers.test_youtokentome import write as write_bpe

ROOT = Path(__file__).parents[3]
WORDS = ["PAD", "UNK", "BOS", "EOS", "кот", "мем", "надпись", "сидит", "на", ",", "."]


def run(*arguments: object, models: Path) -> Result:
    command = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, [*command, "--models-dir", str(models)], catch_exceptions=False)


def assert_one_sentence(done: Result, status: int, *parts: str) -> None:
    assert done.exit_code == status, done.output
    sentence = done.stderr.strip()
    assert sentence.count("\n") == 0 and sentence.endswith("."), sentence
    for part in parts:
        assert part in sentence


def captions(name: str, models: Path) -> list[str]:
    """What the model of that name says twice, loaded twice."""
    found = []
    for _ in range(2):
        captioner = load_captioner(name, models)
        options = replace(captioner.options, seed=1, max_tokens=min(8, captioner.options.max_tokens))
        found += [caption.text for caption in captioner.caption([drawn_picture()] * 2, options)]
    return found


def write_ruclip(folder: Path) -> Path:
    folder.mkdir(parents=True)
    torch.save(original_state(SMALL), folder / "pytorch_model.bin")
    stated = {name: value for name, value in asdict(SMALL).items() if name != "vision_heads"}
    (folder / "config.json").write_text(json.dumps(stated))
    write_bpe(folder / "bpe.model")
    return folder


def write_gpt_tokenizer(folder: Path) -> tuple[Path, int]:
    folder.mkdir(parents=True)
    return folder, len(tokenizer_for("clipcap-mlp", folder))


@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
def test_clipcap(mapper: str, tmp_path: Path) -> None:
    tokenizer, words = write_gpt_tokenizer(tmp_path / "rugpt")
    ruclip = write_ruclip(tmp_path / "ruclip")
    state = clipcap_state(mapper, words + 5, SMALL.embed_dim)
    state["gpt.transformer.h.0.attn.bias"] = torch.ones(1, 1, 48, 48)
    source = tmp_path / "meme-009.pt"
    torch.save({key: value.half() for key, value in state.items()}, source)
    models = tmp_path / "models"
    done = run("convert", source, ruclip, "--tokenizer", tokenizer, "--out", "memes", models=models)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{models / 'memes'}: converted from clipcap; try" in done.stdout
    assert len(set(captions("memes", models))) == 1
    config = json.loads((models / "memes" / "config.json").read_text(encoding="utf-8"))
    assert len((models / "memes" / "config.json").read_text(encoding="utf-8").splitlines()) <= 80
    told = read_training(models / "memes").source
    assert told["format"] == "clipcap"
    assert told["files"]["meme-009.pt"] == manifest.sha256_of(source)
    assert config["special"]["forbidden"] == list(range(words, words + 5))
    assert set(manifest.read_manifest(models / "memes")) == {"model.safetensors", "tokenizer.json"}
    model = CaptionModel.load(models / "memes")
    expected = import_clipcap(source)
    vision = import_ruclip(ruclip).encoder(preprocessing=model.encoder.preprocessing)
    with torch.no_grad():
        memory = model.encode([drawn_picture()])
        assert isinstance(memory, Tensor)
        torch.testing.assert_close(memory, vision(vision.pixels([drawn_picture()])))
        torch.testing.assert_close(memory.norm(dim=1), torch.ones(1))
    seeing = model.encoder.preprocessing
    assert (seeing.fit, seeing.via, seeing.size) == ("squash", 224, SMALL.image_resolution)
    with torch.no_grad():
        tokens = torch.tensor([[0, 5, 9, 7]])
        torch.testing.assert_close(model.decoder(memory, tokens), expected(memory, tokens))
    assert_one_sentence(
        run("convert", source, ruclip, "--tokenizer", tokenizer, "--out", "memes", models=models),
        2,
        "is there already: choose another --out",
    )


def test_what_a_clipcap_file_needs_besides_is_named(tmp_path: Path) -> None:
    tokenizer, words = write_gpt_tokenizer(tmp_path / "rugpt")
    ruclip, models = write_ruclip(tmp_path / "ruclip"), tmp_path / "models"
    source = tmp_path / "model.pt"
    torch.save(clipcap_state("mlp", words, 512), source)
    again = ("convert", source, "--out", models / "x")
    assert_one_sentence(run(*again, models=models), 2, "vectors of 512 numbers", "with --encoder")
    done = run(*again, "--encoder", ruclip, models=models)
    assert_one_sentence(done, 2, "trained on picture vectors of 512 numbers", "gives 24")
    torch.save(clipcap_state("mlp", words, SMALL.embed_dim), source)
    done = run(*again, "--encoder", ruclip, models=models)
    assert_one_sentence(done, 2, f"knows {words} tokens", "with --tokenizer")
    torch.save(clipcap_state("mlp", words - 1, SMALL.embed_dim), source)
    done = run(*again, "--encoder", ruclip, "--tokenizer", tokenizer, models=models)
    assert_one_sentence(done, 2, f"has {words} tokens", f"trained with {words - 1}")
    torch.save(clipcap_state("mlp", words + 500, SMALL.embed_dim), source)
    done = run(*again, "--encoder", ruclip, "--tokenizer", tokenizer, models=models)
    assert_one_sentence(done, 2, f"has {words} tokens", f"trained with {words + 500}")
    done = run(*again, "--encoder", ruclip, "--tokenizer", tmp_path / "nowhere", models=models)
    assert_one_sentence(done, 2, "The tokenizer", "nowhere is missing: check the path")
    done = run(*again, "--encoder", ruclip, "--tokenizer", tmp_path, models=models)
    assert_one_sentence(done, 2, f"{tmp_path} holds no tokenizer")
    assert "cannot be written" not in done.stderr
    done = run(*again, "--encoder", ruclip, "--tokenizer", tokenizer, "--heads", 5, models=models)
    assert_one_sentence(done, 2, "which 5 attention heads do not divide", "--heads")
    assert not models.exists() or list(models.iterdir()) == []


def test_a_clipcap_file_finds_the_eye_that_was_pulled_for_it(tmp_path: Path) -> None:
    """By the width of its vectors: 640 numbers are those of RN50x4, whose vectors are made of length 1."""
    tokenizer, words = write_gpt_tokenizer(tmp_path / "rugpt")
    models, source = tmp_path / "models", tmp_path / "transformer_weights.pt"
    torch.save(clipcap_state("transformer", words, 640), source)
    again = ("convert", source, "--tokenizer", tokenizer, "--out", "coco")
    assert_one_sentence(run(*again, models=models), 2, "vectors of 640 numbers", "pull clip-rn50x4")
    state = clip_resnet_state()
    state["visual.attnpool.c_proj.weight"] = torch.randn(640, 256) / 16
    state["visual.attnpool.c_proj.bias"] = torch.randn(640)
    pulled = models / "clip-rn50x4" / "RN50x4.pt"
    pulled.parent.mkdir(parents=True)
    torch.save(state, pulled)
    manifest.record(pulled.parent, {pulled.name: manifest.entry_of(pulled)})
    done = run(*again, models=models)
    assert done.exit_code == 0, done.stderr
    model = CaptionModel.load(models / "coco")
    with torch.no_grad():
        memory = model.encode([drawn_picture()])
    assert isinstance(memory, Tensor)
    torch.testing.assert_close(memory.norm(dim=1), torch.ones(1))
    assert len(set(captions("coco", models))) == 1


@pytest.mark.parametrize("start", [True, False], ids=["first", "navec"])
def test_a_meme_baseline(start: bool, tmp_path: Path) -> None:
    original = Baseline("resnet34", start, tmp_path)
    models = tmp_path / "models"
    encoder, decoder, vocabulary = original.paths
    done = run("convert", decoder, vocabulary, encoder, "--out", "baseline", models=models)
    assert done.exit_code == 0, done.stderr
    assert len(set(captions("baseline", models))) == 1
    config = json.loads((models / "baseline" / "config.json").read_text(encoding="utf-8"))
    assert config["preset"] == ("resnet50-lstm" if start else "resnet101-lstm-navec")
    assert config["special"]["forbidden"] == ([] if start else [1])
    (info,) = list_models(models)
    assert (info.name, info.description) == ("baseline", preset(config["preset"]).description.en)
    assert info.description_ru == preset(config["preset"]).description.ru
    if start:
        vocabulary.write_text(json.dumps([*original.words, "лишнее"]), encoding="utf-8")
        done = run("convert", encoder, decoder, vocabulary, "--out", "x", models=models)
        assert_one_sentence(done, 2, f"has {len(original.words) + 1} words", "not of the same captioner")
        done = run("convert", encoder, vocabulary, "--out", "x", models=models)
        assert_one_sentence(done, 2, "A meme baseline's decoder is missing")
        done = run("convert", encoder, decoder, "--out", "x", models=models)
        assert_one_sentence(done, 2, "A vocabulary is missing", "--vocabulary")
        again = ("convert", encoder, decoder, "--out", "x", "--vocabulary")
        done = run(*again, tmp_path / "nowhere.json", models=models)
        assert_one_sentence(done, 2, "nowhere.json is missing: name the file that was saved")
        assert "cannot be written" not in done.stderr
        for written in (b'{"0": "<pad>"', b"\xff\xfe", b'{"<pad>": {}}', b'{"0.5": "<pad>"}'):
            vocabulary.write_bytes(written)
            done = run(*again, vocabulary, models=models)
            assert_one_sentence(done, 2, "is no vocabulary: it must hold the words in the order")
            assert done.stderr.count(str(vocabulary)) == 1


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder_attn = nn.Linear(576, 14)
        self.decoder_attn = nn.Linear(10, 14)
        self.full_attn = nn.Linear(14, 1)


class DecoderWithAttention(nn.Module):
    """The module that the web service pickled whole."""

    def __init__(self) -> None:
        super().__init__()
        self.vocab_size = len(WORDS)
        self.embed = nn.Embedding(len(WORDS), 8)
        self.lstm_cell = nn.LSTMCell(8 + 576, 10)
        self.fc = nn.Linear(10, len(WORDS))
        self.attention = Attention()
        self.dropout = nn.Dropout(0.5)
        self.init_h = nn.Linear(576, 10)
        self.init_c = nn.Linear(576, 10)
        self.f_beta = nn.Linear(10, 576)
        self.load_state_dict(soft_attention_state(len(WORDS), 576))


def test_the_web_service(tmp_path: Path) -> None:
    """A pickled module and a pickled vocabulary, seen through torchvision's MobileNet as it was pulled."""
    models = tmp_path / "models"
    torch.save(DecoderWithAttention(), tmp_path / "model_attention.pt")
    (tmp_path / "vocab.pkl").write_bytes(pickle.dumps(WORDS))
    again = ("convert", tmp_path / "model_attention.pt", tmp_path / "vocab.pkl", "--out", "service")
    assert_one_sentence(run(*again, models=models), 2, "pull mobilenet_v3_small")
    torch.manual_seed(0)
    pulled = models / "mobilenet_v3_small" / "mobilenet_v3_small-12345678.pth"
    pulled.parent.mkdir(parents=True)
    network = torchvision.models.mobilenet_v3_small(weights=None).eval()
    torch.save(network.state_dict(), pulled)
    manifest.record(pulled.parent, {pulled.name: manifest.entry_of(pulled)})
    done = run(*again, models=models)
    assert done.exit_code == 0, done.stderr
    model = CaptionModel.load(models / "service")
    assert model.tokenizer is not None
    assert (model.special.bos, model.special.eos) == (2, 3)
    with torch.no_grad():
        pixels = model.encoder.pixels([drawn_picture()])
        grid = network.features(pixels).permute(0, 2, 3, 1).reshape(1, 49, 576)
        torch.testing.assert_close(model.encode([drawn_picture()]), grid, atol=1e-5, rtol=1e-5)
    assert len(set(captions("service", models))) == 1
    (tmp_path / "vocab.pkl").write_bytes(pickle.dumps(WORDS[:-1]))
    done = run(*again[:-1], "other", models=models)
    assert_one_sentence(done, 2, "has 10 words", "trained with 11")


@pytest.mark.parametrize("extra", [0, 6], ids=["first edition", "second edition"])
def test_rudolph(extra: int, tmp_path: Path) -> None:
    models, source = tmp_path / "models", tmp_path / "files"
    source.mkdir()
    torch.save(original_rudolph.original_state(extra), source / "pytorch_model.bin")
    vqgan = test_vqgan.original_state()
    for name in ("quantize.proj.weight", "quantize.proj.bias", "quantize.embed.weight"):
        vqgan[name] = vqgan[name][:16].clone()
    torch.save({"state_dict": vqgan, "epoch": 1}, source / "vqgan.gumbelf8-sber.model.ckpt")
    write_bpe(source / "bpe.model", [*RULES, (4, 5, 17), (17, 6, 18), (8, 9, 19)])
    done = run("convert", *sorted(source.iterdir()), "--out", "rudolph", models=models)
    assert done.exit_code == 0, done.stderr
    model = CaptionModel.load(models / "rudolph")
    assert model.encoder.positions == original_rudolph.SIDE**2
    assert len(set(captions("rudolph", models))) == 1
    write_bpe(source / "bpe.model", [*RULES, *((5, 6, token) for token in range(17, 21))])
    done = run("convert", source, "--out", "x", models=models)
    assert_one_sentence(done, 2, "has 21 tokens", "trained with 20")
    (source / "vqgan.gumbelf8-sber.model.ckpt").unlink()
    done = run("convert", source, "--out", "x", models=models)
    assert_one_sentence(done, 2, "pull vqgan-gumbel-f8")


def test_ruclip_ranks_and_is_no_captioner(tmp_path: Path) -> None:
    models = tmp_path / "models"
    source = write_ruclip(tmp_path / "ruclip-vit-base-patch32-384")
    done = run("convert", source, "--out", "ranker", models=models)
    assert (done.exit_code, done.stdout) == (0, f"{models / 'ranker'}: converted from ruclip\n")
    assert list_models(models) == []
    found, expected = import_ruclip(models / "ranker"), import_ruclip(source)
    assert found.preprocessing == expected.preprocessing
    with torch.no_grad():
        pixels = torch.from_numpy(found.preprocessing([drawn_picture()]))
        tokens = torch.tensor([[2, 12, 16, 3]])
        torch.testing.assert_close(
            found.model.similarity(pixels, tokens), expected.model.similarity(pixels, tokens)
        )
    done = run("verify", "ranker", models=models)
    assert (done.exit_code, "it ranks captions and writes none" in done.stdout) == (0, True)


def test_files_of_no_format_and_unsafe_ones_are_one_sentence(tmp_path: Path) -> None:
    models, path = tmp_path / "models", tmp_path / "weights.pt"
    again = ("convert", path, "--out", "x")
    assert_one_sentence(run(*again, models=models), 2, "weights.pt is missing")
    torch.save({"conv.weight": torch.zeros(2)}, path)
    done = run(*again, models=models)
    assert_one_sentence(done, 2, "no captioner of a known format", "begins with conv.weight", "rudolph")
    done = run(*again, "--format", "clipcap", models=models)
    assert_one_sentence(done, 2, "hold no ClipCap checkpoint", "name another --format")
    done = run(*again, "--format", "onnx", models=models)
    assert_one_sentence(done, 2, "no format 'onnx'", "choose auto, clipcap")
    path.write_bytes(b"GIF89a")
    assert_one_sentence(run(*again, models=models), 2, "is damaged or no weight file")
    trace = tmp_path / "ran"
    for name in ("vocab.pkl", "weights.pt"):
        (tmp_path / name).write_bytes(b"cposix\nsystem\n(S'touch " + str(trace).encode() + b"'\ntR.")
        done = run("convert", tmp_path / name, "--out", "x", models=models)
        assert_one_sentence(done, 2, f"{name} is refused", "asks to call posix.system", "ask its author")
    assert not trace.exists()
    assert not models.exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one converted captioner."""
    folder = tmp_path_factory.mktemp("whole")
    tokenizer, words = write_gpt_tokenizer(folder / "rugpt")
    torch.save(clipcap_state("mlp", words, SMALL.embed_dim), folder / "memes.pt")
    options = ("--tokenizer", tokenizer, "--encoder", write_ruclip(folder / "ruclip"))
    done = run("convert", folder / "memes.pt", *options, "--out", "memes", models=folder / "models")
    assert done.exit_code == 0, done.stderr
    return folder / "models"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    return Path(shutil.copytree(whole, tmp_path / "copied")) / "memes"


def test_a_whole_checkpoint_is_proved_in_a_process_of_its_own(whole: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MODELS_DIR": str(whole)}
    command = [sys.executable, "-m", "inference", "verify", "memes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert (done.returncode, done.stderr) == (0, "")
    digest = manifest.sha256_of(whole / "memes" / "model.safetensors")
    assert done.stdout.startswith("memes is whole: ")
    assert f"sha256 {digest} (as recorded); loaded in" in done.stdout
    assert "described a drawn picture in" in done.stdout
    assert done.stdout.count("\n") == 1


def test_what_was_changed_is_found(copy: Path) -> None:
    weights, recorded = copy / "model.safetensors", copy / "manifest.json"
    good, known = weights.read_bytes(), recorded.read_text(encoding="utf-8")
    config = (copy / "config.json").read_text(encoding="utf-8")
    (copy / "config.json").unlink()
    done = run("verify", copy, models=copy.parent)
    assert_one_sentence(done, 1, "is no whole checkpoint: its config.json is missing")
    told = json.loads(config)
    del told["encoder"]
    (copy / "config.json").write_text(json.dumps(told), encoding="utf-8")
    done = run("verify", copy, models=copy.parent)
    assert_one_sentence(done, 1, "cannot be built: its config.json says nothing of 'encoder'")
    (copy / "config.json").write_text(config, encoding="utf-8")
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    done = run("verify", copy, models=copy.parent)
    assert_one_sentence(done, 1, "has the sha256", "recorded", "changed or damaged")

    tensors = load_file(weights)
    name = "decoder.gpt.transformer.h.1.mlp.c_fc.bias"
    tensors[name][3] = float("nan")
    save_file(tensors, weights)
    recorded.unlink()
    done = run("verify", weights, models=copy.parent)
    assert_one_sentence(done, 1, f"{name} in", "holds numbers that are not finite")

    weights.write_bytes(good)
    done = run("verify", "memes", models=copy.parent)
    assert done.exit_code == 0
    assert "(none was recorded to compare with)" in done.stdout

    recorded.write_text(known, encoding="utf-8")
    weights.write_bytes(good[: len(good) // 2])
    recorded.unlink()
    assert_one_sentence(run("verify", "memes", models=copy.parent), 1, "is damaged or no safetensors file")
    weights.unlink()
    assert_one_sentence(run("verify", copy, models=copy.parent), 1, "is no checkpoint")


def test_parts_that_do_not_fit_are_found(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    decoder = config["decoder"]
    for change, parts in (
        ({"decoder": {**decoder, "layers": 3}}, ("is of another architecture", "lacks decoder.gpt")),
        ({"decoder": {**decoder, "prefix": 6}}, ("but config.json asks for",)),
        ({"decoder": {**decoder, "vocabulary": 99}}, ("The tokenizer has", "the decoder 99")),
        ({"architecture": "another"}, ("'another', which this version does not know",)),
        ({"format": 99}, ("written in format 99",)),
    ):
        (copy / "config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
        assert_one_sentence(run("verify", "memes", models=copy.parent), 1, *parts)
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (copy / "tokenizer.json").unlink()
    done = run("verify", "memes", models=copy.parent)
    assert_one_sentence(done, 1, "tokenizer.json is missing, but manifest.json lists it")
    (copy / "manifest.json").write_text("{", encoding="utf-8")
    assert_one_sentence(run("verify", "memes", models=copy.parent), 1, "manifest.json is damaged")
    done = run("verify", "nobody", models=copy.parent)
    assert_one_sentence(done, 1, "no model named 'nobody'")


def test_of_a_file_of_another_kind_nothing_is_proved(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing", encoding="utf-8")
    assert_one_sentence(run("verify", path, models=tmp_path), 1, f"Nothing can be proved of {path}")
    manifest.record(tmp_path, {path.name: manifest.entry_of(path)})
    assert run("verify", path, models=tmp_path).exit_code == 0


def test_fetched_files_are_proved_too(tmp_path: Path) -> None:
    path = tmp_path / "thing" / "net.pth"
    path.parent.mkdir()
    torch.save({"weight": torch.ones(3)}, path)
    done = run("verify", path, models=tmp_path)
    assert (done.exit_code, "1 tensors" in done.stdout, "none was recorded" in done.stdout) == (0, True, True)
    manifest.record(path.parent, {"net.pth": manifest.entry_of(path)})
    done = run("verify", "thing", models=tmp_path)
    assert (done.exit_code, done.stdout) == (0, "thing is whole: net.pth (sha256 as recorded).\n")
    named = path.with_name(f"net-{manifest.sha256_of(path)[:8]}.pth")
    shutil.copy(path, named)
    assert "as its name begins" in run("verify", named, models=tmp_path).stdout
    torch.save({"weight": torch.tensor([1.0, float("inf")])}, path)
    assert_one_sentence(run("verify", path, models=tmp_path), 1, "net.pth has the sha256", "was expected")
    manifest.record(path.parent, {"net.pth": manifest.entry_of(path)})
    assert_one_sentence(run("verify", "thing", models=tmp_path), 1, "weight in", "not finite")
