"""CLIPScore from a ruCLIP of random weights against the formula on an independent forward pass."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner, Result

from inference.common.errors import UserError
from tests.drawing import Kind, draw_meme, jpeg_bytes
from tests.inference.encoders.test_ruclip import SMALL, image_features, original_state, text_features
from tests.inference.tokenizers.test_youtokentome import write
from train_scripts.__main__ import app
from train_scripts.metrics.clip_score import ClipScorer, find_ruclip

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)  # not the usual ones: the checkpoint says them
# Tokens worked out by hand from the rules of the little model; eight of them fit between start and end.
CAPTIONS = {
    "images/a.jpg": ("кот мем", [12, 16]),
    "images/b.jpg": ("кот", [12]),
    "images/c.jpg": ("мем " * 20, [16] * 8),
}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "ruclip-small"
    folder.mkdir(parents=True)
    torch.save(original_state(SMALL), folder / "pytorch_model.bin")
    stated = {name: value for name, value in asdict(SMALL).items() if name != "vision_heads"}
    (folder / "config.json").write_text(json.dumps({**stated, "mean": MEAN, "std": STD}))
    write(folder / "bpe.model")
    return folder.parent


@pytest.fixture
def memes(tmp_path: Path) -> Path:
    (tmp_path / "memes" / "images").mkdir(parents=True)
    kinds: list[Kind] = ["two_frames", "tweet", "photo"]
    for name, kind in zip(CAPTIONS, kinds, strict=True):
        (tmp_path / "memes" / name).write_bytes(jpeg_bytes(draw_meme(kind, width=300)))
    return tmp_path / "memes"


def expected(path: Path, tokens: list[int]) -> float:
    with Image.open(path) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        middle = image.convert("RGB").crop((left, top, left + side, top + side))
        small = middle.resize((32, 32), Image.Resampling.BILINEAR)
    pixels = (np.asarray(small, dtype=np.float64) / 255 - MEAN) / STD
    state = original_state(SMALL)
    seen = image_features(state, SMALL, torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1))
    said = text_features(state, SMALL, [2, *tokens, 3])

    def unit(vector: Tensor) -> Tensor:
        one: Tensor = vector / vector.norm()
        return one

    return 2.5 * max(float(unit(seen) @ unit(said)), 0.0)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_is_the_formula_of_both_towers(models: Path, memes: Path) -> None:
    found = find_ruclip(models)
    assert found is not None
    scorer = ClipScorer(found)
    seen = scorer.pictures(memes, CAPTIONS)
    scores = scorer.scores(seen, {name: text for name, (text, _) in CAPTIONS.items()})
    wanted = {name: expected(memes / name, tokens) for name, (_, tokens) in CAPTIONS.items()}
    assert scores == pytest.approx(wanted, abs=1e-5)
    assert len(set(scores.values())) > 1
    # A pair whose cosine is below zero gets none, and so does a caption that says nothing.
    opposite = seen.vectors["images/a.jpg"] * -np.sign(scores["images/a.jpg"] or -1)
    flipped = type(seen)({"images/a.jpg": opposite}, {})
    assert scorer.scores(flipped, {"images/a.jpg": CAPTIONS["images/a.jpg"][0]}) == {"images/a.jpg": 0.0}
    assert scorer.scores(seen, {"images/b.jpg": " "}) == {"images/b.jpg": 0.0}


def test_evaluate_gives_it_where_a_ruclip_lies_among_the_models(
    tmp_path: Path, models: Path, memes: Path
) -> None:
    (memes / "images" / "b.jpg").write_bytes(b"\xff\xd8\xff broken")
    rows = [{"file_name": name, "text": text} for name, (text, _) in CAPTIONS.items()]
    path = tmp_path / "memes" / "val.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out, scores = tmp_path / "rows.jsonl", tmp_path / "scores.json"
    done = run("evaluate", path, path, "--models-dir", models, "--rows", out, "--json", scores)
    assert done.exit_code == 0, done.output
    assert "CLIPScore ↑" in done.stdout
    assert f"Left out of CLIPScore: {memes / 'images' / 'b.jpg'}: The picture is damaged" in done.stderr
    by_name = {
        row["file_name"]: row["clip_score"] for row in map(json.loads, out.read_text("utf-8").splitlines())
    }
    assert by_name["images/b.jpg"] is None
    whole = [expected(memes / name, CAPTIONS[name][1]) for name in ("images/a.jpg", "images/c.jpg")]
    assert [by_name["images/a.jpg"], by_name["images/c.jpg"]] == pytest.approx(whole, abs=1e-5)
    written = json.loads(scores.read_text("utf-8"))["scores"]["clip_score"]["value"]
    assert written == pytest.approx(sum(whole) / 2, abs=1e-5)

    done = run("compare", path, path, "--references", path, "--models-dir", models, "--by", "clip_score")
    assert done.exit_code == 0, done.output
    assert "CLIPScore ↑" in done.stdout


def test_without_one_it_is_left_out_and_that_is_said(tmp_path: Path, memes: Path) -> None:
    path = tmp_path / "val.jsonl"
    path.write_text('{"file_name": "a", "text": "кот"}\n', encoding="utf-8")
    done = run("evaluate", path, path, "--models-dir", tmp_path)
    assert done.exit_code == 0
    assert f"CLIPScore is left out: there is no ruCLIP in {tmp_path} (see --clip)." in done.stdout
    assert "CLIPScore ↑" not in done.stdout
    done = run("evaluate", path, path, "--models-dir", tmp_path, "--sort-by", "clip_score")
    assert done.exit_code == 1
    assert "There is no clip_score to sort by" in done.stderr


def test_what_is_no_whole_ruclip_gets_one_sentence(tmp_path: Path, models: Path, memes: Path) -> None:
    path = memes / "val.jsonl"
    path.write_text('{"file_name": "images/a.jpg", "text": "кот"}\n', encoding="utf-8")
    for folder, sentence in ((tmp_path / "none", "are missing"), (models / "ruclip-small", "no bpe.model")):
        (models / "ruclip-small" / "bpe.model").unlink(missing_ok=True)
        done = run("evaluate", path, path, "--clip", folder)
        assert done.exit_code == 1
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    with pytest.raises(UserError, match=r"bpe\.model"):
        ClipScorer(models / "ruclip-small")


def test_pictures_that_are_nowhere_get_one_sentence(tmp_path: Path, models: Path) -> None:
    path = tmp_path / "val.jsonl"
    path.write_text('{"file_name": "images/a.jpg", "text": "кот"}\n', encoding="utf-8")
    done = run("evaluate", path, path, "--models-dir", models)
    assert done.exit_code == 1
    assert "None of the pictures can be read" in done.stderr
    assert "--pictures" in done.stderr
