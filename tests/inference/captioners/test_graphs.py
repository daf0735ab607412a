"""Checkpoints served by graphs: what PyTorch says of them, without PyTorch."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from typer.testing import CliRunner

from inference.__main__ import app
from inference.captioners.building import build
from inference.captioners.captioner import load_captioner
from inference.captioners.encoder_decoder.graphs import exporting
from inference.captioners.encoder_decoder.graphs.captioner import DECODERS, GraphCaptioner, open_decoder
from inference.captioners.encoder_decoder.graphs.folder import (
    DRAFT_FILE,
    FOLDER,
    INT8_FILE,
    RECORD_FILE,
    find,
    replacing,
)
from inference.captioners.encoder_decoder.graphs.parts import DRAFT, STEP, SUFFIX
from inference.captioners.encoder_decoder.graphs.rounding import write_rounded
from inference.captioners.encoder_decoder.graphs.writing import write
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.folder import WEIGHTS_FILE
from inference.checkpoints.format import CheckpointError, read_config
from inference.checkpoints.names import CheckpointFolder
from inference.common.types import DecodingOptions
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.decoder import Decoder, Tokens, reorder
from inference.decoding.drafting import Drafted
from inference.decoding.search import generate
from inference.graphs.session import GraphError
from inference.presets.preset import names, preset
from inference.reading.lines import TextLine
from inference.tokenizers.words_read import WordsRead
from tests.disk import files_of_at_most, modes, umask
from tests.inference.graphs_kept import graphs_kept
from tests.inference.learning import pictures, tiny, tokenizer_for
from tests.inference.speaking import speaking
from tests.readings import reading_of

# Sizes of what is seen and said, and what training alone heeds.
_NO_GRAPH_S = {"picture", "pictures", "vocabulary", "train_gpt", "picture_dropout", "word_dropout"}
# Of the presets whose decoders differ in more than that one each.
SERVED = sorted(
    {
        json.dumps(
            {key: value for key, value in tiny(name).decoder_config().items() if key not in _NO_GRAPH_S},
            sort_keys=True,
        ): name
        for name in reversed(names())
        if preset(name).decoder.kind in DECODERS
    }.values()
)
SEARCHES = [
    DecodingOptions("greedy", max_tokens=16),
    DecodingOptions("beam", beams=3, max_tokens=16),
    DecodingOptions("sample", seed=7, max_tokens=16),
]


Exports = Callable[[Path, str], Path]


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    """Tracing takes nearly all of these tests' time."""
    with graphs_kept():
        yield


def served(folder: Path, graphs: Path) -> GraphCaptioner:
    return GraphCaptioner(folder, graphs, read_config(folder), threads=1)


@pytest.fixture(scope="module")
def clipcap(tmp_path_factory: pytest.TempPathFactory) -> GraphCaptioner:
    """The graphs of the small `clipcap-mlp`."""
    folder = tmp_path_factory.mktemp("clipcap")
    (folder / "written").mkdir()
    write(speaking("clipcap-mlp", folder), folder / "written")
    return served(folder, folder / "written")


def found(
    decoder: Decoder,
    memory: object,
    model: CaptionModel,
    options: DecodingOptions,
    prompts: Sequence[Sequence[int]] | None,
) -> tuple[list[list[int]], list[float]]:
    special = model.special
    said = generate(
        decoder,
        memory,
        options,
        bos=special.bos,
        eos=special.eos,
        pad=special.pad,
        prompts=prompts,
    )
    return said.tokens, said.logprobs


@pytest.mark.parametrize("name", SERVED)
def test_graphs_find_the_tokens_that_pytorch_finds(name: str, tmp_path: Path) -> None:
    model = speaking(name, tmp_path)
    graphs = tmp_path / "written"
    graphs.mkdir()
    write(model, graphs)
    ours = served(tmp_path, graphs)
    images = pictures()[:3]
    with torch.inference_mode():
        memory = model.encode(images)
    theirs = memory if isinstance(memory, tuple) else (memory,)
    seen = ours.encode(images)
    for own, other in zip(seen, theirs, strict=True):
        np.testing.assert_allclose(own, other.numpy(), atol=1e-4, rtol=1e-4)
    weights = {key: value.contiguous().numpy() for key, value in model.state_dict().items()}
    save_file(write_rounded(graphs, weights, DRAFT), graphs / DRAFT_FILE)
    drafted = open_decoder(graphs, weights, model.decoder.settings, threads=1)
    assert isinstance(drafted, Drafted)
    distinct: set[int] = set()
    for options in SEARCHES:
        for prompts in (None, [[5, 6, 7], [8], [9, 4]]):
            tokens, logprobs = found(ours.decoder, seen, model, options, prompts)
            expected = found(TorchDecoder(model.decoder), memory, model, options, prompts)
            assert tokens == expected[0]
            np.testing.assert_allclose(logprobs, expected[1], atol=1e-3)
            for i, one in enumerate(tokens):  # of a picture alone words are guessed ahead
                prompt = prompts and prompts[i : i + 1]
                guessed = found(drafted, tuple(part[i : i + 1] for part in seen), model, options, prompt)
                assert guessed[0] == [one]
                np.testing.assert_allclose(guessed[1], logprobs[i], atol=1e-4)
            distinct |= {token for row in tokens for token in row}
    assert len(distinct) > 5


@pytest.mark.parametrize("name", ["densenet121-lstm", "fasterrcnn-lstm", "inception-lstm-glove"])
def test_every_family_of_encoders_has_a_graph(name: str, tmp_path: Path) -> None:
    """RuCLIP's and a ResNet's are looked at above."""
    model = speaking(name, tmp_path, tiny(name))
    graphs = tmp_path / "written"
    graphs.mkdir()
    write(model, graphs)
    images = pictures()[:3]
    with torch.inference_mode():
        expected = model.encode(images)
    assert isinstance(expected, torch.Tensor)
    (seen,) = served(tmp_path, graphs).encode(images)
    # Networks of random weights multiply what they see: what counts is the share.
    assert np.abs(seen - expected.numpy()).max() < 1e-4 * np.abs(expected.numpy()).max()


@pytest.mark.parametrize(("name", "words"), [("resnet50-lstm", "slots"), ("clipcap-mlp", "prompt")])
def test_words_read_reach_the_graphs(name: str, words: WordsRead, tmp_path: Path) -> None:
    model = speaking(name, tmp_path, words=words)
    graphs = tmp_path / "written"
    graphs.mkdir()
    write(model, graphs)
    readings = [reading_of([TextLine("Красный круг", (0.1, 0.1, 0.9, 0.2), 0.9, 0)]), reading_of()]
    for options in SEARCHES:
        told = model.describe(pictures()[:2], readings, options)
        texts, likelihoods = served(tmp_path, graphs).describe(pictures()[:2], readings, options)
        assert texts == told[0]
        np.testing.assert_allclose(likelihoods, told[1], atol=1e-4)


def test_a_batch_is_searched_as_its_pictures_alone(clipcap: GraphCaptioner) -> None:
    readings = [reading_of()] * 3
    together, _ = clipcap.describe(pictures()[:3], readings, SEARCHES[1])
    alone = [clipcap.describe([image], readings[:1], SEARCHES[1])[0][0] for image in pictures()[:3]]
    assert together == alone
    assert clipcap.describe([], [], SEARCHES[1]) == ([], [])


def test_a_state_of_gpt_may_go_on_twice(clipcap: GraphCaptioner) -> None:
    decoder: Decoder = clipcap.decoder
    state = decoder.start(clipcap.encode(pictures()[:2]))
    _, state = decoder.step(state, np.array([1, 1]))
    _, one = decoder.step(state, np.array([5, 6]))
    _, other = decoder.step(state, np.array([7, 8]))
    ours, _ = decoder.step(one, np.array([9, 9]))
    again, _ = decoder.step(decoder.step(state, np.array([5, 6]))[1], np.array([9, 9]))
    others, _ = decoder.step(other, np.array([9, 9]))
    np.testing.assert_allclose(ours, again, atol=1e-5)
    assert np.abs(ours - others).max() > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_states_of_gpt_keep_what_they_saw_however_they_are_reordered(
    clipcap: GraphCaptioner, seed: int
) -> None:
    """Copies go to where others were before: each state must say what a fresh one says of the same tokens."""
    decoder, random = clipcap.decoder, np.random.default_rng(seed)
    seen = clipcap.encode(pictures()[:3])
    start = decoder.start(seen)
    # Each a state, its rows' pictures and their tokens.
    held: list[tuple[Any, Tokens, list[Tokens]]] = [(start, np.arange(3), [np.empty(0, np.int64)] * 3)]
    for _ in range(40):
        state, rows, said = held[random.integers(len(held))]
        # As a beam search that follows one of its states, and at times goes back to an older one.
        for _ in range(random.integers(1, 4)):
            index = random.integers(0, len(rows), random.choice([3, 5]))
            state, rows, said = reorder(state, index), rows[index], [said[i] for i in index]
            tokens = random.integers(4, 20, len(rows))
            _, state = decoder.step(state, tokens)
            said = [np.append(row, token) for row, token in zip(said, tokens, strict=True)]
        held = [*held[-4:], (state, rows, said)]
    for state, rows, said in held[1:]:
        again = reorder(start, rows)
        for tokens in np.stack(said).T:
            _, again = decoder.step(again, tokens)
        last = np.full(len(rows), 9)
        np.testing.assert_allclose(decoder.step(state, last)[0], decoder.step(again, last)[0], atol=1e-4)


def test_more_places_than_the_language_model_has_are_refused(clipcap: GraphCaptioner) -> None:
    longer = replace(SEARCHES[0], min_tokens=150, max_tokens=150)
    with pytest.raises(ValueError, match="128: lower max_tokens"):
        clipcap.describe(pictures()[:1], [reading_of()], longer)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Puts a checkpoint with graphs that the command wrote into a folder of models; each is written once."""

    @cache
    def written(name: str) -> Path:
        models = tmp_path_factory.mktemp("exported")
        speaking(name, models / "small")
        done = CliRunner().invoke(app, ["export", "small", "--models-dir", str(models)])
        assert done.exit_code == 0, done.output
        assert "the same tokens as PyTorch" in done.output
        return models / "small"

    def copied(models: Path, name: str) -> Path:
        return Path(shutil.copytree(written(name), models / "small"))

    return copied


WITHOUT_TORCH = """
import sys
for module in ("torch", "transformers", "torchvision", "timm", "nltk", "onnx"):
    sys.modules[module] = None
import inference
model = inference.load("small", sys.argv[1], threads=1)
print(model.caption_file(sys.argv[2]).text)
"""


def test_guesses_of_8_bits_change_no_caption(tmp_path: Path, exported: Exports) -> None:
    folder = exported(tmp_path, "clipcap-mlp")
    done = CliRunner().invoke(app, ["export", "small", "--draft", "--models-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (folder / FOLDER / DRAFT_FILE).stat().st_size < (folder / WEIGHTS_FILE).stat().st_size / 2
    model, drafted = CaptionModel.load(folder), served(folder, folder / FOLDER)
    assert isinstance(drafted.decoder, Drafted)
    for options in SEARCHES:
        for image in pictures()[:3]:
            assert (
                drafted.describe([image], [reading_of()], options)[0]
                == (model.describe([image], [reading_of()], options)[0])
            )
    picture = tmp_path / "picture.png"
    pictures()[6].save(picture)
    assert alone(tmp_path, picture).returncode == 0
    # Exported again without, nothing is left of them.
    assert CliRunner().invoke(app, ["export", "small", "--models-dir", str(tmp_path)]).exit_code == 0
    assert not list((folder / FOLDER).glob("draft*"))


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_who_may_read_a_checkpoint_may_read_its_graphs(mask: int, tmp_path: Path, exported: Exports) -> None:
    folder = exported(tmp_path, "clipcap-mlp")
    with umask(mask):
        done = CliRunner().invoke(app, ["export", "small", "--draft", "--models-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    written = modes(folder / FOLDER)
    assert {DRAFT_FILE, f"{STEP}{SUFFIX}"} <= written.keys()
    assert set(written.values()) == {0o666 & ~mask}


def test_graphs_of_an_older_version_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, exported: Exports
) -> None:
    folder = exported(tmp_path, "clipcap-mlp")
    path, told = folder / FOLDER / f"{STEP}{SUFFIX}", folder / FOLDER / RECORD_FILE
    path.write_bytes(path.read_bytes().replace(b"places", b"hidden"))
    # Which said nothing of the files.
    told.write_text(json.dumps({**json.loads(told.read_text("utf-8")), "files": {}}), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        captioner = load_captioner("small", tmp_path, threads=1)
    assert isinstance(captioner._describer, CaptionModel)
    assert "exported by an older version" in caplog.text


def alone(models: Path, picture: Path) -> subprocess.CompletedProcess[str]:
    """The caption in a process where PyTorch cannot be imported."""
    command: Sequence[str] = [sys.executable, "-c", WITHOUT_TORCH, str(models), str(picture)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["resnet50-lstm", "clipcap-mlp"])
def test_an_exported_checkpoint_captions_without_pytorch(
    name: str, tmp_path: Path, exported: Exports
) -> None:
    folder = exported(tmp_path, name)
    picture = tmp_path / "picture.png"
    pictures()[6].save(picture)
    done = alone(tmp_path, picture)
    assert done.returncode == 0, done.stderr
    model = CaptionModel.load(folder)
    (text,), _ = model.describe(pictures()[6:7], [reading_of()], read_config(folder).decoding)
    assert done.stdout.strip() == text
    (folder / FOLDER / RECORD_FILE).unlink()
    without = alone(tmp_path, picture)
    assert without.returncode != 0
    assert "needs packages that are not installed" in without.stderr


def test_graphs_of_other_weights_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, exported: Exports
) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    assert find(folder) == folder / FOLDER
    model = CaptionModel.load(folder)
    with torch.no_grad():
        next(model.decoder.parameters()).add_(1)
    model.save(folder, read_config(folder).decoding)
    with caplog.at_level(logging.WARNING):
        captioner = load_captioner("small", tmp_path, threads=1)
    assert isinstance(captioner._describer, CaptionModel)
    assert f"PyTorch runs the model small: {folder / FOLDER} are of other weights" in caplog.text


def test_a_graph_of_which_a_byte_has_changed_is_left_alone(tmp_path: Path, exported: Exports) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    path = folder / FOLDER / f"{STEP}{SUFFIX}"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1  # of the version of its operators, which are the same in both
    path.write_bytes(changed)
    with pytest.raises(GraphError, match=f"{path.name} is damaged: get it anew"):
        find(folder)


@pytest.mark.parametrize("name", [f"{STEP}{SUFFIX}", DRAFT_FILE, INT8_FILE, RECORD_FILE])
def test_damaged_graphs_are_left_alone(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, exported: Exports
) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    (folder / FOLDER / name).write_bytes(b"no graph")
    with caplog.at_level(logging.WARNING):
        captioner = load_captioner("small", tmp_path, threads=1)
    assert isinstance(captioner._describer, CaptionModel)
    assert "PyTorch runs the model small" in caplog.text
    assert f"{name} is damaged" in caplog.text


def test_pytorch_takes_as_many_threads_as_the_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaking("resnet50-lstm", tmp_path / "small")
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        torch.set_num_threads(2)
        load_captioner("small", tmp_path)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_what_differs_from_pytorch_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Exports
) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    before = sorted(path.name for path in folder.rglob("*"))
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(CheckpointError, match="served by PyTorch as before"):
        exporting.export(CheckpointFolder("small"), tmp_path, pictures()[:1])
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert find(folder) is not None


def test_an_export_that_was_killed_leaves_the_graphs_there_were(tmp_path: Path, exported: Exports) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    left = folder / f"{FOLDER}.part"
    left.mkdir()
    (left / RECORD_FILE).write_text(json.dumps({"half": True}), encoding="utf-8")
    assert find(folder) == folder / FOLDER
    assert CliRunner().invoke(app, ["export", "small", "--models-dir", str(tmp_path)]).exit_code == 0
    assert not left.exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet50-lstm", ()), ("clipcap-mlp", ("--draft",))],
    ids=["no room for a graph", "room for all but the draft"],
)
def test_a_full_disk_leaves_the_graphs_there_were(
    name: str, options: Sequence[str], tmp_path: Path, exported: Exports
) -> None:
    folder = exported(tmp_path, name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    room = max(path.stat().st_size for path in (folder / FOLDER).iterdir()) if options else 1000
    with files_of_at_most(room):
        done = CliRunner().invoke(app, ["export", "small", *options, "--models-dir", str(tmp_path)])
    assert done.exit_code == 1
    (sentence,) = done.output.splitlines()
    assert sentence.startswith(f"The graphs cannot be written to {folder}")
    assert "File too large" in sentence
    assert sentence.endswith("make room there, or check its permissions.")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert find(folder) is not None


def test_one_process_at_a_time_writes_graphs(tmp_path: Path, exported: Exports) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    with replacing(folder) as part:
        (part / "half").touch()
        done = CliRunner().invoke(app, ["export", "small", "--models-dir", str(tmp_path)])
        assert done.exit_code == 1
        (sentence,) = done.output.splitlines()
        assert sentence.startswith(f"Graphs are being written to {folder} by another process: wait")
        assert [path.name for path in part.iterdir()] == ["half"]


def test_graphs_that_cannot_take_their_place_leave_those_there_were(
    tmp_path: Path, exported: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name == f"{FOLDER}.part":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(CheckpointError, match="No space left"), replacing(folder):
        pass
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_graphs_of_an_export_that_was_killed_between_two_names_are_found_again(
    tmp_path: Path, exported: Exports
) -> None:
    folder = exported(tmp_path, "resnet50-lstm")
    (folder / FOLDER).rename(folder / f"{FOLDER}.old")
    with pytest.raises(CheckpointError), replacing(folder):
        raise OSError(28, "No space left on device")
    assert find(folder) is not None


def test_weights_that_are_no_numbers_are_not_exported(tmp_path: Path, exported: Exports) -> None:
    folder = exported(tmp_path, "clipcap-mlp")
    model = CaptionModel.load(folder)
    with torch.no_grad():
        model.decoder.get_parameter("gpt.transformer.ln_f.weight").fill_(torch.nan)
    model.save(folder, read_config(folder).decoding)
    done = CliRunner().invoke(app, ["export", "small", "--models-dir", str(tmp_path)])
    assert done.exit_code == 1
    (sentence,) = done.output.splitlines()
    assert "not numbers (NaN or infinite)" in sentence


def test_a_model_without_graphs_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    model = build(tiny("rudolph"), tokenizer=tokenizer_for("rudolph", folder))
    model.save(folder, DecodingOptions("greedy", max_tokens=4))
    done = CliRunner().invoke(app, ["export", "small", "--models-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "rudolph runs on PyTorch alone" in done.output
    assert not list(folder.glob(f"{FOLDER}*"))
