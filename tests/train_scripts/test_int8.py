"""`python -m train_scripts int8`: weights of 8 bits are served where scores hold, and refused where not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from inference.__main__ import app as inference_commands
from inference.captioners.captioner import load_captioner
from inference.captioners.encoder_decoder.graphs.captioner import GraphCaptioner
from inference.captioners.encoder_decoder.graphs.folder import FOLDER, INT8_FILE, find, read_record
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.folder import WEIGHTS_FILE, weights_hash
from inference.checkpoints.format import read_config
from tests.disk import modes, umask
from tests.inference.graphs_kept import graphs_kept
from tests.inference.learning import pictures
from tests.inference.speaking import speaking
from tests.readings import reading_of
from train_scripts.__main__ import app


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    """Tracing takes nearly all of these tests' time."""
    with graphs_kept():
        yield


def run(models: Path, data: Path) -> Result:
    return CliRunner().invoke(app, ["int8", "small", "--data", str(data), "--models-dir", str(models)])


def export(models: Path) -> None:
    done = CliRunner().invoke(inference_commands, ["export", "small", "--models-dir", str(models)])
    assert done.exit_code == 0, done.output


def judged_by(folder: Path, texts: list[str]) -> Path:
    """An imagefolder of drawn pictures."""
    folder.mkdir()
    rows = []
    for number, (image, text) in enumerate(zip(pictures(), texts, strict=True)):
        image.save(folder / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": text}))
    (folder / "metadata.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("name", "mask"), [("resnet50-lstm", 0o022), ("clipcap-mlp", 0o027)])
def test_weights_of_8_bits_are_served_where_the_scores_hold(name: str, mask: int, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    speaking(name, folder)
    before = weights_hash(folder / WEIGHTS_FILE)
    data = judged_by(tmp_path / "data", ["nothing of this"] * 8)
    refused = run(tmp_path, tmp_path / "no data")  # which would take long to be read
    assert (refused.exit_code, "python -m inference export small" in refused.output) == (1, True)
    export(tmp_path)
    alone = tmp_path / "one.jsonl"
    alone.write_text((data / "metadata.jsonl").read_text("utf-8").splitlines()[0], encoding="utf-8")
    refused = run(tmp_path, alone)  # no bootstrap has an interval of it
    assert (refused.exit_code, "names one picture" in refused.output) == (1, True)
    with umask(mask):
        done = run(tmp_path, data)
    assert done.exit_code == 0, done.output
    graphs = find(folder)
    assert graphs is not None
    assert set(modes(graphs).values()) == {0o666 & ~mask}
    written = read_record(graphs)
    assert written.int8
    assert written.scores["pictures"] == 8
    assert (graphs / INT8_FILE).stat().st_size < (folder / WEIGHTS_FILE).stat().st_size
    assert weights_hash(folder / WEIGHTS_FILE) == before
    assert not list(graphs.glob("draft*"))
    captioner = load_captioner("small", tmp_path, threads=1)
    assert isinstance(captioner._describer, GraphCaptioner)
    assert captioner.caption(pictures()[:1])[0].text
    rounded = bytearray((graphs / INT8_FILE).read_bytes())
    rounded[-1] ^= 1
    (graphs / INT8_FILE).write_bytes(rounded)
    captioner = load_captioner("small", tmp_path, threads=1)
    assert isinstance(captioner._describer, CaptionModel)  # whose weights are whole
    export(tmp_path)  # the way back
    assert not (folder / FOLDER / INT8_FILE).exists()


def test_what_a_checkpoint_holds_in_8_bits_stays_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    model = speaking("resnet50-lstm", folder)
    model.save(folder, read_config(folder).decoding, int8=("encoder.",))
    export(tmp_path)
    exact = GraphCaptioner(folder, folder / FOLDER, read_config(folder), threads=1).encode(pictures())
    done = run(tmp_path, judged_by(tmp_path / "data", ["nothing of this"] * 8))
    assert done.exit_code == 0, done.output
    rounded = GraphCaptioner(folder, folder / FOLDER, read_config(folder), threads=1).encode(pictures())
    assert (folder / FOLDER / INT8_FILE).is_file()
    np.testing.assert_array_equal(rounded[0], exact[0])


def test_a_checkpoint_that_is_not_whole_is_told_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    speaking("clipcap-mlp", folder)
    export(tmp_path)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:1000])
    kept = sorted(path.name for path in folder.rglob("*"))
    told = {
        "int8": run(tmp_path, judged_by(tmp_path / "data", ["nothing of this"] * 8)),
        "export": CliRunner().invoke(inference_commands, ["export", "small", "--models-dir", str(tmp_path)]),
    }
    for command, done in told.items():
        assert done.exit_code == 1, command
        assert f"{tokenizer} is damaged" in done.output.splitlines()[-1]
    assert sorted(path.name for path in folder.rglob("*")) == kept


def test_weights_of_8_bits_are_refused_where_captions_are_worse(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    model = speaking("resnet50-lstm", folder)
    with torch.no_grad():
        # The same for all words, so that it changes nothing, and so large that the others round to nought.
        model.decoder.get_parameter("output.weight")[:, 0] = 1e4
    options = read_config(folder).decoding
    model.save(folder, options)
    said = CaptionModel.load(folder).describe(pictures(), [reading_of()] * 8, options)[0]
    export(tmp_path)
    kept = sorted(path.name for path in folder.rglob("*"))
    done = run(tmp_path, judged_by(tmp_path / "data", said))
    assert done.exit_code == 1
    assert "describes worse" in done.output
    assert sorted(path.name for path in folder.rglob("*")) == kept
